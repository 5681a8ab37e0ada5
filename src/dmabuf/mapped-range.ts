import { problem } from '../internal/errors.ts'
import { integer, options, range } from '../internal/validate.ts'
import type { Mapping } from '../native/addon.ts'
import type { BufferCore } from './buffer-core.ts'
import { keep, type Tether } from './tether.ts'
import { viewOf } from './views.ts'

export interface MmapOptions {
  /** First byte, anywhere in a page; 0. */
  readonly offset?: number
  /** Bytes, at least one; the rest of the buffer. */
  readonly length?: number
}

const mmapOptions = ['offset', 'length'] as const

/** The range that somebody wants to map, checked as mmap(2) checks it; but it may begin at any byte. */
export function mmapRange(byteLength: number, mmapOpts: MmapOptions | undefined): Required<MmapOptions> {
  const { offset = 0, length } = options('mmap', mmapOpts, mmapOptions)
  const most = integer('mmap length', length ?? 0, 0)
  if (!Number.isSafeInteger(integer('mmap offset', offset, 0) + most)) {
    throw problem('mmapOverflow', { offset, length: most })
  }
  const checked = range('mmap', byteLength, offset, length)
  integer('mmap length', checked.length, 1)
  return checked
}

/** The bytes that a mapping shows, which begin at this byte of the buffer; those of the staged copy where there is one. */
export function rangeView(core: BufferCore, mapping: Mapping, offset: number, tether: Tether): Uint8Array {
  const staged = core.coherence?.staged
  if (staged === undefined) return viewOf(mapping, tether, core.name)
  keep(staged.buffer as ArrayBuffer, tether)
  return staged.subarray(offset, offset + mapping.byteLength)
}

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
  constructor(offset: number, byteLength: number, core: BufferCore, tether: Tether) {
    this.offset = offset
    this.byteLength = byteLength
    this.#core = core
    this.#tether = tether
    this.#mapping = core.mappings.addRange(offset, byteLength)
    // The range has the tether too, for longer than its wrapper perhaps.
    tether.reusable = false
  }

  get closed(): boolean {
    return this.#open === undefined
  }

  /** The live memory of the range, as raw as `CpuAccess.bytes`; of length 0 after close. */
  get bytes(): Uint8Array {
    const { name } = this.#core
    const mapping = this.#open
    if (mapping === undefined) throw problem('closedRange', { name })
    return rangeView(this.#core, mapping, this.offset, this.#tether)
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
