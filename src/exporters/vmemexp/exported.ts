import type { BufferCore } from '../../dmabuf/buffer-core.ts'
import type { ExporterOps } from '../../dmabuf/exporter-ops.ts'
import { diagnostics } from '../../internal/diagnostics.ts'
import { checked } from '../../internal/errors.ts'
import { refund } from '../../memory/budget.ts'
import { identityKey } from '../../memory/facts.ts'
import { addon } from '../../native/load.ts'
import type { MappedFile, Vmem } from '../../native/vmem.ts'
import { type Block, type Owner, ownerOf } from './block.ts'
import type { Extent } from './extent.ts'
import { watchTransfers } from './transfers.ts'

/** Exports of this environment in the order of their addresses; they do not overlap. */
const all: Exported[] = []

/**
 * Memory of this environment that is exported. From `share` to `release` its pages lie in a memfd, and whoever owns it in
 * JavaScript is kept from the garbage collector. At the end the pages are private again, with their contents, before that
 * owner may go.
 */
export class Exported implements ExporterOps {
  readonly address: number
  readonly byteLength: number
  readonly #extent: Extent
  readonly #charged: number
  readonly #vmem: Vmem
  /** First address of the owner's block. */
  readonly base: number
  readonly #file: string
  /** Made by `allocate`: the pages cannot go before the export does. */
  readonly #kept: boolean
  #owner: Owner | undefined
  #unwatch: () => void = () => {}
  core: BufferCore | undefined

  constructor(block: Block, extent: Extent, vmem: Vmem, file: string, charged: number) {
    this.address = block.address
    this.byteLength = block.byteLength
    this.#extent = extent
    this.#charged = charged
    this.#vmem = vmem
    this.base = block.base
    this.#file = file
    this.#kept = addon().isPageBlock(extent.start) === 1
    this.#own(block.owner)
    all.splice(firstBehind(this.address), 0, this)
  }

  get end(): number {
    return this.address + this.byteLength
  }

  /** Whether the memory is where it was: then nothing else can lie at these addresses. */
  get present(): boolean {
    return this.#kept || this.#owner?.address() === this.base
  }

  /** Whether these mappings still show the pages of this export. */
  isIn(maps: readonly MappedFile[]): boolean {
    const first = this.address - (this.address % addon().pageSize)
    return maps.some((each) => identityKey(each) === this.#file && each.start - each.offset === first)
  }

  /** The memory came to another owner, with its pages. */
  adopt(owner: Owner): void {
    this.#unwatch()
    this.#own(owner)
  }

  /** The memory was taken away, and may be gone by now. Nothing can be done to it any more. */
  abandon(): void {
    this.#forget()
    this.#vmem.abandon()
    diagnostics.vmemAbandoned.publish({ address: this.address, byteLength: this.byteLength })
  }

  beginCpuAccess(): void {
    this.step()
  }

  endCpuAccess(): void {
    this.step()
  }

  map(): void {
    this.step()
  }

  unmap(): void {
    this.step()
  }

  /** Brings the side pages in step, if there are any. */
  step(): void {
    const { start, length } = this.#extent
    if (start <= this.address && start + length >= this.end) return
    if (this.present) this.#vmem.step()
  }

  release(): void {
    refund(this.#charged)
    this.makePrivate()
  }

  /** Idempotent; may be tried again when it failed. */
  makePrivate(): void {
    if (this.#owner === undefined) return
    if (!this.present) return this.abandon()
    this.step()
    // When it fails, the owner stays for ever: memory that is still shared must not be given back.
    checked(
      this.#vmem.end(this.#accessible()),
      'mremap',
      `making ${this.byteLength} exported bytes private again`,
    )
    this.#forget()
  }

  /** Bytes of the extent that the owner can touch: a resizable block may have become shorter. */
  #accessible(): number {
    const page = addon().pageSize
    if (this.#kept) return this.#extent.length
    const end = Math.ceil((this.base + (this.#owner?.byteLength() ?? 0)) / page) * page
    return Math.min(this.#extent.length, Math.max(0, end - this.#extent.start))
  }

  #own(owner: Owner): void {
    this.#owner = owner
    if (owner.detachable === undefined || this.#kept) return
    this.#unwatch = watchTransfers(owner.detachable, (to) => {
      const next = ownerOf(to)
      // Elsewhere: it was copied, and its old pages are gone.
      if (next.address() === this.base) this.#own(next)
      else this.abandon()
    })
  }

  #forget(): void {
    this.#unwatch()
    this.#unwatch = () => {}
    this.#owner = undefined
    const at = all.indexOf(this)
    if (at >= 0) all.splice(at, 1)
  }
}

/** The exports that share a byte with a range. */
export function exportedOver(address: number, byteLength: number): Exported[] {
  const found: Exported[] = []
  const before = firstBehind(address) - 1
  for (let at = Math.max(0, before); at < all.length; at++) {
    const each = all[at] as Exported
    if (each.address >= address + byteLength) break
    if (each.end > address) found.push(each)
  }
  return found
}

/** Index of the first export that begins behind an address. */
function firstBehind(address: number): number {
  let low = 0
  let high = all.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((all[middle] as Exported).address > address) high = middle
    else low = middle + 1
  }
  return low
}
