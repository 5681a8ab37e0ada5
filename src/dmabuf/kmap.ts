import { diagnostics } from '../internal/diagnostics.ts'
import { problem } from '../internal/errors.ts'
import { integer } from '../internal/validate.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { BufferCore } from './buffer-core.ts'
import { rangeView } from './mapped-range.ts'
import type { OpenMap, OpenMaps } from './open-maps.ts'
import { tellExporter } from './tell-exporter.ts'
import type { Tether } from './tether.ts'

/** Where a page lies, if it touches the range of a bracket. */
export function pageAt(
  page: number,
  bracket: { readonly offset: number; readonly length: number },
  { name, storage }: BufferCore,
): { offset: number; byteLength: number } {
  const { pageSize } = addon()
  integer('page', page, 0)
  const offset = page * pageSize
  const byteLength = Math.min(pageSize, storage.byteLength - offset)
  const { offset: first, length } = bracket
  if (offset >= first + length || offset + byteLength <= first) {
    const pages =
      length === 0
        ? 'none'
        : `${Math.floor(first / pageSize)} to ${Math.floor((first + length - 1) / pageSize)}`
    throw problem('pageOutside', { name, page, pages })
  }
  return { offset, byteLength }
}

/** A mapped page as its lease knows it: without the tether, which a lease must not keep. */
class MappedPage implements OpenMap {
  readonly mapping: Mapping
  readonly #page: number
  readonly #core: BufferCore

  constructor(page: number, mapping: Mapping, core: BufferCore) {
    this.#page = page
    this.mapping = mapping
    this.#core = core
  }

  /** Its view goes, its addresses too. */
  close(): void {
    const { id, name, mappings } = this.#core
    mappings.closeRange(this.mapping)
    if (diagnostics.kunmap.hasSubscribers) diagnostics.kunmap.publish({ id, name, page: this.#page })
  }

  abandon(): number {
    this.close()
    tellExporter(this.#core.ops, (ops) => ops.kunmap?.(this.#page))
    return 1
  }
}

/**
 * One page of a buffer, mapped by `CpuAccess.kmap()` inside its bracket: for walking a big buffer without mapping all of it.
 * Whoever mapped it calls `kunmap()` (or has it with `using`) before the bracket ends. As dma_buf_kmap(), which Linux had
 * until 5.6 (Documentation/dma-buf-sharing.txt of that time); today's kernel has `vmap` alone.
 */
export class Kmap implements Disposable {
  /** Number of the page in the buffer. */
  readonly page: number
  /** Its first byte in the buffer. */
  readonly offset: number
  /** Bytes of the page; fewer for the last page of a buffer that ends inside it. */
  readonly byteLength: number
  readonly #core: BufferCore
  readonly #tether: Tether
  readonly #owner: OpenMaps
  readonly #mapped: MappedPage

  /** @internal */
  constructor(
    page: number,
    offset: number,
    byteLength: number,
    core: BufferCore,
    tether: Tether,
    owner: OpenMaps,
  ) {
    this.page = page
    this.offset = offset
    this.byteLength = byteLength
    this.#core = core
    this.#tether = tether
    this.#owner = owner
    // Before the exporter is told: what may fail fails here.
    this.#mapped = new MappedPage(page, core.mappings.addRange(offset, byteLength), core)
    try {
      core.ops?.kmap?.(page)
    } catch (error) {
      core.mappings.closeRange(this.#mapped.mapping)
      throw error
    }
    tether.reusable = false
    owner.add(this.#mapped)
    if (diagnostics.kmap.hasSubscribers) diagnostics.kmap.publish({ id: core.id, name: core.name, page })
  }

  /**
   * The page, as raw as `CpuAccess.bytes`; of length 0 after `kunmap()`. All of the page, also where the bracket covers only
   * part of it: access must stay within the bracket's range. Errors: `EBADF` after `kunmap()` or the end of the bracket.
   */
  get bytes(): Uint8Array {
    const { mapping } = this.#mapped
    if (!this.#owner.has(this.#mapped) || !this.#core.mappings.hasRange(mapping)) {
      throw problem('closedRange', { name: this.#core.name })
    }
    return rangeView(this.#core, mapping, this.offset, this.#tether)
  }

  /** Unmaps the page and detaches its view. `EINVAL` when it is unmapped already. */
  kunmap(): void {
    const { name, ops } = this.#core
    if (!this.#owner.remove(this.#mapped)) {
      throw problem('unmappedTwice', { name, what: 'kunmap', which: `page ${this.page}` })
    }
    this.#mapped.close()
    ops?.kunmap?.(this.page)
  }

  [Symbol.dispose](): void {
    // A kunmap() before the end of the block is the block's own business.
    if (this.#owner.has(this.#mapped)) this.kunmap()
  }
}
