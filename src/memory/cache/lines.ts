import type { CacheMemory } from './layout.ts'
import { sign } from './signature.ts'

/**
 * What can be done to lines [first, last). A line that is not in the cache shows memory, because that is what the CPU would
 * find when it loads it; one that is there shows what it was filled with and what was stored since.
 */
export interface LineOps {
  /** Writes dirty lines back, and keeps them; returns how many there were. */
  clean(first: number, last: number): number
  /** Writes dirty lines back and drops all, in one step; returns how many were written. */
  evict(first: number, last: number): number
  /** Drops lines, what was stored in them included; returns how many dirty ones were lost. */
  invalidate(first: number, last: number): number
  /** The CPU has them in its cache from now on. */
  touch(first: number, last: number): void
  /** A device has stored into memory: lines that are not in the cache show it. */
  show(first: number, last: number): void
  isDirty(line: number): boolean
  isPresent(line: number): boolean
}

/**
 * The lines of one buffer, in plain TypeScript: the reference that the native operations are held to. Nobody else may do
 * anything to lines meanwhile, as nobody can in one thread.
 */
export class PlainLines implements LineOps {
  readonly #memory: CacheMemory
  readonly #cached: Uint32Array
  /** Words of a line. */
  readonly #words: number
  readonly #signature = new Uint32Array(2)

  constructor(memory: CacheMemory) {
    const { cache, layout } = memory
    this.#memory = memory
    this.#cached = new Uint32Array(cache.buffer, cache.byteOffset, layout.region / 4)
    this.#words = layout.lineSize / 4
  }

  clean(first: number, last: number): number {
    const { states } = this.#memory
    let cleaned = 0
    for (let line = first; line < last; line++) {
      if (!this.isDirty(line)) continue
      this.#writeBack(line)
      states[line] = 1
      cleaned++
    }
    return cleaned
  }

  evict(first: number, last: number): number {
    const { states } = this.#memory
    let cleaned = 0
    for (let line = first; line < last; line++) {
      if (this.isDirty(line)) {
        this.#writeBack(line)
        cleaned++
      } else {
        this.#fill(line)
      }
      states[line] = 0
    }
    return cleaned
  }

  invalidate(first: number, last: number): number {
    const { states } = this.#memory
    let lost = 0
    for (let line = first; line < last; line++) {
      if (this.isDirty(line)) lost++
      this.#fill(line)
      states[line] = 0
    }
    return lost
  }

  touch(first: number, last: number): void {
    this.#memory.states.fill(1, first, last)
  }

  show(first: number, last: number): void {
    const { states } = this.#memory
    for (let line = first; line < last; line++) {
      if (states[line] !== 0) continue
      // Stored into without anybody's knowing: it must have been loaded for that.
      if (this.isDirty(line)) states[line] = 1
      else this.#fill(line)
    }
  }

  isDirty(line: number): boolean {
    const { signatures } = this.#memory
    this.#sign(line, this.#signature, 0)
    const [low, high] = this.#signature
    return signatures[2 * line] !== low || signatures[2 * line + 1] !== high
  }

  isPresent(line: number): boolean {
    return this.#memory.states[line] !== 0
  }

  #writeBack(line: number): void {
    const { cache, memory, signatures } = this.#memory
    this.#line(memory, line).set(this.#line(cache, line))
    this.#sign(line, signatures, 2 * line)
  }

  #fill(line: number): void {
    const { cache, memory, signatures } = this.#memory
    this.#line(cache, line).set(this.#line(memory, line))
    this.#sign(line, signatures, 2 * line)
  }

  #sign(line: number, into: Uint32Array, at: number): void {
    sign(this.#cached, line * this.#words, this.#words, into, at)
  }

  #line(bytes: Uint8Array, line: number): Uint8Array {
    const { lineSize } = this.#memory.layout
    return bytes.subarray(line * lineSize, (line + 1) * lineSize)
  }
}
