import { errno, problem, systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { CacheLayout } from './cache/layout.ts'
import type { CachePart, LineOps, UseBytes } from './cache/lines.ts'

/** What is no operation of the addon: bytes of the file, shown and stored. */
export type LineBytes = Pick<LineOps, 'touch' | 'isPresent' | 'access'>

type Operation = 'dirtyLines' | 'cleanLines' | 'evictLines' | 'invalidateLines' | 'showLines'

/** The lines of a mapped buffer, which other processes work on as well. */
export class NativeLines implements LineOps {
  readonly #mapping: Mapping
  readonly #layout: CacheLayout
  readonly #name: string
  readonly #bytes: LineBytes

  constructor(layout: CacheLayout, mapping: Mapping, name: string, bytes: LineBytes) {
    this.#mapping = mapping
    this.#layout = layout
    this.#name = name
    this.#bytes = bytes
  }

  clean(first: number, last: number): number {
    return this.#do('cleanLines', first, last)
  }

  evict(first: number, last: number): number {
    return this.#do('evictLines', first, last)
  }

  invalidate(first: number, last: number): number {
    return this.#do('invalidateLines', first, last)
  }

  show(first: number, last: number): void {
    this.#do('showLines', first, last)
  }

  touch(first: number, last: number): void {
    this.#bytes.touch(first, last)
  }

  isDirty(line: number): boolean {
    return this.#do('dirtyLines', line, line + 1) > 0
  }

  isPresent(line: number): boolean {
    return this.#bytes.isPresent(line)
  }

  access(part: CachePart, writes: boolean, offset: number, length: number, use: UseBytes): void {
    this.#bytes.access(part, writes, offset, length, use)
  }

  #do(operation: Operation, first: number, last: number): number {
    const { region, lineSize } = this.#layout
    const result = addon()[operation](this.#mapping, region, lineSize, first, last)
    if (result === -errno.EFAULT) throw problem('truncated', { name: this.#name })
    if (result < 0) throw systemError(result, 'cache', `lines of buffer ${this.#name}`)
    return result
  }
}
