import { errno, problem, systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { CacheMemory } from './cache/layout.ts'
import { type LineOps, PlainLines } from './cache/lines.ts'

/**
 * The lines of a mapped buffer, by vectorised compares of cache and twin. Chosen by measurement (bench/micro/cache.ts, 33 MiB
 * with one line in a hundred dirty): where one plain copy takes 4 ms, the compare takes 3 ms, and tracking by page protection
 * 1 ms when the dirty lines lie together but 34 ms when they are all over the buffer. Protection, and soft-dirty bits where
 * a kernel has them, also see the stores of one process only; a compare sees everybody's.
 */
export class NativeLines implements LineOps {
  readonly #mapping: Mapping
  readonly #region: number
  readonly #lineSize: number
  readonly #name: string
  /** What concerns one line, or costs nothing. */
  readonly #plain: PlainLines

  constructor(memory: CacheMemory, mapping: Mapping, name: string) {
    this.#mapping = mapping
    this.#region = memory.layout.region
    this.#lineSize = memory.layout.lineSize
    this.#name = name
    this.#plain = new PlainLines(memory)
  }

  clean(first: number, last: number): number {
    return this.#checked(addon().cleanLines(this.#mapping, this.#region, this.#lineSize, first, last))
  }

  invalidate(first: number, last: number): number {
    return this.#checked(addon().invalidateLines(this.#mapping, this.#region, this.#lineSize, first, last))
  }

  show(first: number, last: number): void {
    this.#checked(addon().showLines(this.#mapping, this.#region, this.#lineSize, first, last))
  }

  touch(first: number, last: number): void {
    this.#plain.touch(first, last)
  }

  isDirty(line: number): boolean {
    return this.#plain.isDirty(line)
  }

  isPresent(line: number): boolean {
    return this.#plain.isPresent(line)
  }

  #checked(result: number): number {
    if (result === -errno.EFAULT) throw problem('truncated', { name: this.#name })
    if (result < 0) throw systemError(result, 'cache', `lines of buffer ${this.#name}`)
    return result
  }
}
