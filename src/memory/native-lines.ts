import { errno, problem, systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { CacheLayout } from './cache/layout.ts'
import type { CachePart, LineOps, UseBytes } from './cache/lines.ts'

/** What concerns one line, or costs nothing, or shows bytes. */
export type OtherLineOps = Pick<LineOps, 'touch' | 'isDirty' | 'isPresent' | 'access'>

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
  readonly #others: OtherLineOps

  constructor(layout: CacheLayout, mapping: Mapping, name: string, others: OtherLineOps) {
    this.#mapping = mapping
    this.#region = layout.region
    this.#lineSize = layout.lineSize
    this.#name = name
    this.#others = others
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
    this.#others.touch(first, last)
  }

  isDirty(line: number): boolean {
    return this.#others.isDirty(line)
  }

  isPresent(line: number): boolean {
    return this.#others.isPresent(line)
  }

  access(part: CachePart, writes: boolean, offset: number, length: number, use: UseBytes): void {
    this.#others.access(part, writes, offset, length, use)
  }

  #checked(result: number): number {
    if (result === -errno.EFAULT) throw problem('truncated', { name: this.#name })
    if (result < 0) throw systemError(result, 'cache', `lines of buffer ${this.#name}`)
    return result
  }
}
