import { errno, problem, systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { CacheMemory } from './cache/layout.ts'
import type { LineOps } from './cache/lines.ts'

type Operation = 'dirtyLines' | 'cleanLines' | 'evictLines' | 'invalidateLines' | 'showLines'

/** The lines of a mapped buffer, which other processes work on as well. */
export class NativeLines implements LineOps {
  readonly #mapping: Mapping
  readonly #memory: CacheMemory
  readonly #name: string

  constructor(memory: CacheMemory, mapping: Mapping, name: string) {
    this.#mapping = mapping
    this.#memory = memory
    this.#name = name
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
    this.#memory.states.fill(1, first, last)
  }

  isDirty(line: number): boolean {
    return this.#do('dirtyLines', line, line + 1) > 0
  }

  isPresent(line: number): boolean {
    return this.#memory.states[line] !== 0
  }

  #do(operation: Operation, first: number, last: number): number {
    const { region, lineSize } = this.#memory.layout
    const result = addon()[operation](this.#mapping, region, lineSize, first, last)
    if (result === -errno.EFAULT) throw problem('truncated', { name: this.#name })
    if (result < 0) throw systemError(result, 'cache', `lines of buffer ${this.#name}`)
    return result
  }
}
