import { ArrayWords, clearWords, type SharedWords } from '../memory/shared-words.ts'
import { SLOT_WORDS } from './words.ts'

/**
 * Slots for buffers of which nobody else counts the brackets: the same words as in a holder segment, in this
 * environment's own memory, many to a block.
 */
const SLOTS_PER_BLOCK = 1024
const blocks: ArrayWords[] = []
const free: number[] = []
let used = 0

export function takePrivateSlot(): number {
  const slot = free.pop() ?? used++
  const block = Math.floor(slot / SLOTS_PER_BLOCK)
  blocks[block] ??= new ArrayWords(new Uint32Array(SLOTS_PER_BLOCK * SLOT_WORDS))
  const base = privateBase(slot)
  clearWords(blocks[block], base, base + SLOT_WORDS)
  return slot
}

export function givePrivateSlot(slot: number): void {
  free.push(slot)
}

export function privateWords(slot: number): SharedWords {
  return blocks[Math.floor(slot / SLOTS_PER_BLOCK)] as ArrayWords
}

export function privateBase(slot: number): number {
  return (slot % SLOTS_PER_BLOCK) * SLOT_WORDS
}
