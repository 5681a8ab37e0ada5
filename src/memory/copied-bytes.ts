import { errno, problem, systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { CacheLayout } from './cache/layout.ts'
import type { CachePart, UseBytes } from './cache/lines.ts'
import type { LineBytes } from './native-lines.ts'

/** What `PlainLines` does with arrays over the mapped file, by copies: for where none may lie over it. */
export class CopiedBytes implements LineBytes {
  readonly #layout: CacheLayout
  readonly #mapping: Mapping
  readonly #name: string
  readonly #state = new Uint8Array(1)

  constructor(layout: CacheLayout, mapping: Mapping, name: string) {
    this.#layout = layout
    this.#mapping = mapping
    this.#name = name
  }

  touch(first: number, last: number): void {
    this.#put(this.#layout.states + first, new Uint8Array(last - first).fill(1))
  }

  isPresent(line: number): boolean {
    this.#get(this.#layout.states + line, this.#state)
    return this.#state[0] !== 0
  }

  access(part: CachePart, writes: boolean, offset: number, length: number, use: UseBytes): void {
    const at = part === 'cache' ? offset : this.#layout.memory + offset
    const bytes = new Uint8Array(length)
    this.#get(at, bytes)
    use(bytes)
    if (writes) this.#put(at, bytes)
  }

  #get(offset: number, into: Uint8Array): void {
    this.#check(addon().copyOut(this.#mapping, offset, into, []))
  }

  #put(offset: number, bytes: Uint8Array): void {
    this.#check(addon().copyIn(this.#mapping, offset, bytes))
  }

  #check(result: number): void {
    if (result === -errno.EFAULT) throw problem('truncated', { name: this.#name })
    if (result < 0) throw systemError(result, 'copy', `lines of buffer ${this.#name}`)
  }
}
