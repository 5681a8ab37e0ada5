import type { CacheMemory } from './layout.ts'

/** Parts of a buffer's memory that have the same bytes at different times. */
export type CachePart = 'cache' | 'twin' | 'memory'
export type UseBytes = (bytes: Uint8Array) => void

/**
 * What can be done to lines [first, last). A line that is not in the cache shows memory, because that is what the CPU would
 * find when it loads it; one that is there shows what it was filled with and what was stored since.
 */
export interface LineOps {
  /** Writes dirty lines back, and keeps them; returns how many there were. */
  clean(first: number, last: number): number
  /** Drops lines, what was stored in them included; returns how many dirty ones were lost. */
  invalidate(first: number, last: number): number
  /** The CPU has them in its cache from now on. */
  touch(first: number, last: number): void
  /** A device has stored into memory: lines that are not in the cache show it. */
  show(first: number, last: number): void
  isDirty(line: number): boolean
  isPresent(line: number): boolean
  /** Shows bytes of a part, which `use` may store into when it writes. Lines are left as they are. */
  access(part: CachePart, writes: boolean, offset: number, length: number, use: UseBytes): void
}

/** The lines of one buffer, in plain TypeScript: the reference that the native operations are held to. */
export class PlainLines implements LineOps {
  readonly #memory: CacheMemory

  constructor(memory: CacheMemory) {
    this.#memory = memory
  }

  clean(first: number, last: number): number {
    const { cache, twin, memory, states } = this.#memory
    let cleaned = 0
    for (let line = first; line < last; line++) {
      if (!this.isDirty(line)) continue
      const bytes = this.#line(cache, line)
      this.#line(memory, line).set(bytes)
      this.#line(twin, line).set(bytes)
      states[line] = 1
      cleaned++
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
    const { cache, twin, layout } = this.#memory
    const end = (line + 1) * layout.lineSize
    for (let at = end - layout.lineSize; at < end; at++) if (cache[at] !== twin[at]) return true
    return false
  }

  isPresent(line: number): boolean {
    return this.#memory.states[line] !== 0
  }

  access(part: CachePart, _: boolean, offset: number, length: number, use: UseBytes): void {
    use(this.#memory[part].subarray(offset, offset + length))
  }

  #fill(line: number): void {
    const { cache, twin, memory } = this.#memory
    const bytes = this.#line(memory, line)
    this.#line(cache, line).set(bytes)
    this.#line(twin, line).set(bytes)
  }

  #line(bytes: Uint8Array, line: number): Uint8Array {
    const { lineSize } = this.#memory.layout
    return bytes.subarray(line * lineSize, (line + 1) * lineSize)
  }
}
