import { setImmediate as turn } from 'node:timers/promises'
import { type CpuAccess, type DmaBuf, DmaBufError } from '../../src/index.ts'

/** Writers that have words of their own, whoever plays them at the time. */
export const WRITERS = 4
/** Words that each of them keeps equal, all over the buffer: a move copies them at different moments. */
const WORDS = 8
export const PLACED_BYTES = 1 << 20
export const BOARD_BYTES = 4096

/** The board, a fixed buffer beside the placed one: whether to stop, then what each writer has done for good. */
const STOP = 0
const DONE = 1

export function boardOf(buffer: DmaBuf): Uint32Array {
  const { bytes } = buffer.mmap()
  return new Uint32Array(bytes.buffer, bytes.byteOffset, BOARD_BYTES / 4)
}

export function stop(board: Uint32Array): void {
  Atomics.store(board, STOP, 1)
}

export function promised(board: Uint32Array): number[] {
  return Array.from({ length: WRITERS }, (_, writer) => Atomics.load(board, DONE + writer))
}

/** The words of a writer in the memory of an open bracket, or of a view that stays. */
export function wordsOf(bytes: Uint8Array, writer: number): number[] {
  return Array.from({ length: WORDS }, (_, word) => view(bytes)[place(writer, word)] ?? -1)
}

function view(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
}

function place(writer: number, word: number): number {
  return ((word * WRITERS + writer) * PLACED_BYTES) / (4 * WORDS * WRITERS)
}

export interface Counting {
  /** Whose words it counts up; none for a reader. */
  readonly writer: number | undefined
  /** Now and then it stays inside for so many milliseconds. */
  readonly sits?: number
}

/**
 * Begins and ends brackets in every way there is until the board says stop. In each it looks whether all is there that was
 * promised before it began, and a writer counts its words up, which it promises when the bracket has ended. Throws when
 * something is missing.
 */
export async function count(
  placed: DmaBuf,
  board: Uint32Array,
  { writer, sits = 0 }: Counting,
): Promise<void> {
  let mine = writer === undefined ? 0 : await takeOver(placed, board, writer)
  using range = await mapped(placed)
  const kept = range.bytes
  while (Atomics.load(board, STOP) === 0) {
    const before = promised(board)
    const { bytes, open } = await begin(placed, writer === undefined ? 'read' : 'write')
    for (let other = 0; other < WRITERS; other++) {
      const found = wordsOf(bytes, other)
      const least = Math.min(...found)
      if (least < (before[other] ?? 0)) throw new Error(`${before[other]} was promised by ${other}: ${found}`)
      if (other === writer && least !== mine) throw new Error(`${mine} was stored by itself: ${found}`)
    }
    if (writer !== undefined) {
      mine++
      // Some through the view of before all moves, which shows the same memory.
      for (let word = 0; word < WORDS; word++) view(word % 2 === 0 ? bytes : kept)[place(writer, word)] = mine
      if (wordsOf(bytes, writer).some((word) => word !== mine)) throw new Error('a view shows other memory')
    }
    if (sits > 0 && chance(0.02)) await new Promise((resolve) => setTimeout(resolve, sits))
    else if (chance(0.3)) await turn()
    for (const access of open) access.end()
    if (writer !== undefined) Atomics.store(board, DONE + writer, mine)
    if (chance(0.5)) await turn()
  }
}

const chance = (likelihood: number) => Math.random() < likelihood

/** A predecessor may have died among its stores: what it has stored anywhere counts. */
async function takeOver(placed: DmaBuf, board: Uint32Array, writer: number): Promise<number> {
  using access = await placed.beginCpuAccess('write')
  const found = Math.max(...wordsOf(access.bytes, writer))
  const before = promised(board)[writer] ?? 0
  if (found < before || found > before + 1) throw new Error(`${before} was promised, ${found} is there`)
  for (let word = 0; word < WORDS; word++) view(access.bytes)[place(writer, word)] = found
  return found
}

async function mapped(placed: DmaBuf) {
  using _ = await placed.beginCpuAccess('read')
  return placed.mmap()
}

/** By the promise or by the twin that does not wait; alone, or around another one. */
async function begin(
  placed: DmaBuf,
  access: 'read' | 'write',
): Promise<{ bytes: Uint8Array; open: CpuAccess[] }> {
  const outer = chance(0.5) ? tryToBegin(placed, access) : undefined
  const first = outer ?? (await placed.beginCpuAccess(access))
  const open = [first]
  // Inside another one it never has to wait.
  if (chance(0.3)) open.unshift(placed.beginCpuAccessSync('read'))
  return { bytes: first.bytes, open }
}

function tryToBegin(placed: DmaBuf, access: 'read' | 'write'): CpuAccess | undefined {
  try {
    return placed.beginCpuAccessSync(access)
  } catch (error) {
    if (error instanceof DmaBufError && error.code === 'EAGAIN') return undefined
    throw error
  }
}
