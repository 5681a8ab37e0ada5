import { problem } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import type { Lease } from './lease.ts'
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
  readonly #lease: Lease
  readonly #token: object
  #mapping: Mapping | undefined

  /** @internal */
  constructor(offset: number, byteLength: number, mapping: Mapping, lease: Lease, token: object) {
    this.offset = offset
    this.byteLength = byteLength
    this.#mapping = mapping
    this.#lease = lease
    this.#token = token
  }

  get closed(): boolean {
    return this.#open === undefined
  }

  /** The live memory of the range, as raw as `CpuAccess.bytes`; of length 0 after close. */
  get bytes(): Uint8Array {
    const { core } = this.#lease
    const mapping = this.#open
    if (mapping === undefined) throw problem('closedRange', { name: core.name })
    return viewOf(mapping, this.#token, core.name)
  }

  /** Detaches the view and gives the addresses up. Idempotent. */
  close(): void {
    if (this.#mapping !== undefined && !this.#lease.closed) this.#lease.core.unmapRange(this.#mapping)
    this.#mapping = undefined
  }

  get #open(): Mapping | undefined {
    const mapping = this.#mapping
    const { core, closed } = this.#lease
    return mapping !== undefined && !closed && core.hasRange(mapping) ? mapping : undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
