import { SLOT_WORDS } from './words.ts'

/**
 * Slots for buffers of which nobody else counts the brackets: the same words as in a holder segment, in this
 * environment's own memory, many to a block.
 */
const SLOTS_PER_BLOCK = 1024
const blocks: Uint32Array[] = []
const free: number[] = []
let used = 0

export function takePrivateSlot(): number {
  const slot = free.pop() ?? used++
  const block = Math.floor(slot / SLOTS_PER_BLOCK)
  blocks[block] ??= new Uint32Array(SLOTS_PER_BLOCK * SLOT_WORDS)
  const base = privateBase(slot)
  blocks[block].fill(0, base, base + SLOT_WORDS)
  return slot
}

export function givePrivateSlot(slot: number): void {
  free.push(slot)
}

export function privateWords(slot: number): Uint32Array {
  return blocks[Math.floor(slot / SLOTS_PER_BLOCK)] as Uint32Array
}

export function privateBase(slot: number): number {
  return (slot % SLOTS_PER_BLOCK) * SLOT_WORDS
}
