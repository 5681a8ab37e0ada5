import { problem } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import type { BufferCore } from './buffer-core.ts'
import { keep, type Tether } from './tether.ts'
import { viewOf } from './views.ts'

/**
 * A mapping of its own of part of a buffer: for buffers larger than one ArrayBuffer can show, and for looking at
 * a part without mapping the rest. Brackets are the buffer's: hold one while you look. Closed by `close()`,
 * `using`, or with the buffer; also when the buffer is frozen or revoked.
 */
export class MappedRange implements Disposable {
  /** First byte in the buffer. */
  readonly offset: number
  readonly byteLength: number
  readonly #core: BufferCore
  readonly #tether: Tether
  #mapping: Mapping | undefined

  /** @internal */
  constructor(offset: number, byteLength: number, mapping: Mapping, core: BufferCore, tether: Tether) {
    this.offset = offset
    this.byteLength = byteLength
    this.#mapping = mapping
    this.#core = core
    this.#tether = tether
  }

  get closed(): boolean {
    return this.#open === undefined
  }

  /** The live memory of the range, as raw as `CpuAccess.bytes`; of length 0 after close. */
  get bytes(): Uint8Array {
    const { name } = this.#core
    const mapping = this.#open
    if (mapping === undefined) throw problem('closedRange', { name })
    const staged = this.#core.coherence?.staged
    if (staged === undefined) return viewOf(mapping, this.#tether, name)
    keep(staged.buffer as ArrayBuffer, this.#tether)
    return staged.subarray(this.offset, this.offset + this.byteLength)
  }

  /** Detaches the view and gives the addresses up. Idempotent. */
  close(): void {
    if (this.#mapping !== undefined && !this.#tether.lease.closed)
      this.#core.mappings.closeRange(this.#mapping)
    this.#mapping = undefined
  }

  get #open(): Mapping | undefined {
    const mapping = this.#mapping
    if (mapping === undefined || this.#tether.lease.closed) return undefined
    return this.#core.mappings.hasRange(mapping) ? mapping : undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
