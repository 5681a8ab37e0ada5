import { errno, problem } from '../internal/errors.ts'
import { integer } from '../internal/validate.ts'
import { PAGE_SIZE } from './address.ts'
import type { DmaDirection, Segment } from './constraints.ts'
import type { Device } from './device.ts'
import { fitSegments, trimmed } from './fit.ts'

/** A piece of a buffer as one device addresses it (`sg_dma_address`, `sg_dma_len`; include/linux/scatterlist.h). */
export interface SgEntry {
  /** Of the first byte. It means something only together with the table it came from. */
  readonly dmaAddress: bigint
  /** Bytes. */
  readonly length: number
  /**
   * Place of `dmaAddress` in its page. It is in `dmaAddress` already; whoever programs a device with page addresses must
   * add it, or reads what lies before the buffer.
   */
  readonly offset: number
}

/** The bytes behind a table, for the engine of its device. */
export interface TableMemory {
  /**
   * Runs `use` with bytes [offset, offset + length) of the buffer as the device sees them; throws a DmaBufError when the
   * table is stale (a dynamic importer whose buffer moved). `bytes` is live shared memory: only set, fill, slice and
   * copyWithin, never a decoder.
   */
  access(kind: 'read' | 'write', offset: number, length: number, use: (bytes: Uint8Array) => void): void
}

export interface SgTableInit {
  readonly device: Device
  readonly direction: DmaDirection
  readonly entries: readonly SgEntry[]
  readonly byteLength: number
  readonly moved: boolean
  readonly generation: number
  readonly memory: TableMemory
  unmap(): void
}

/** What {@link SgTable} keeps for the engine. */
const memories = new WeakMap<SgTable, TableMemory>()

/**
 * A buffer mapped for one device and one direction: the kernel's `struct sg_table`, as an importer walks it (the mapped
 * entries, `nents`). From `Attachment.map()`; whoever called that unmaps it: by `unmap()`, `using`, or with the attachment.
 */
export class SgTable implements Iterable<SgEntry>, Disposable, AsyncDisposable {
  readonly device: Device
  readonly direction: DmaDirection
  /** Of the buffer: the sum of the lengths of its entries. */
  readonly byteLength: number
  /** How many entries. */
  readonly length: number
  /** The buffer has other storage than at the last map of this attachment: addresses kept from then are void. */
  readonly moved: boolean
  /** Counts the storages that the buffer has had. */
  readonly generation: number
  readonly #entries: readonly SgEntry[]
  readonly #unmap: () => void
  #closed = false

  /** @internal */
  constructor(init: SgTableInit) {
    this.device = init.device
    this.direction = init.direction
    this.byteLength = init.byteLength
    this.length = init.entries.length
    this.moved = init.moved
    this.generation = init.generation
    this.#entries = init.entries
    this.#unmap = () => init.unmap()
    memories.set(this, init.memory)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The entry at `index`, from 0. Errors: `EINVAL` where there is none, `EBADF` after unmap. */
  at(index: number): SgEntry {
    return this.#open[integer('index', index, 0, this.length - 1)]!
  }

  /** The entries in the order of the buffer's bytes. Errors: `EBADF` after unmap. */
  [Symbol.iterator](): IterableIterator<SgEntry> {
    return this.#open.values()
  }

  /** The device is done with the buffer: its addresses must not be used any more. Idempotent. */
  unmap(): void {
    if (this.#closed) return
    this.#closed = true
    this.#unmap()
  }

  [Symbol.dispose](): void {
    this.unmap()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.unmap()
  }

  get #open(): readonly SgEntry[] {
    if (this.#closed) throw problem('closedTable', { device: this.device.name })
    return this.#entries
  }
}

/** The bytes behind a table. */
export function memoryOf(table: SgTable): TableMemory {
  return memories.get(table)!
}

/** The entries of a buffer for a device, and what gives back the IOVAs they use. */
export interface DeviceEntries {
  readonly entries: readonly SgEntry[]
  /** Idempotent. */
  release(): void
}

/**
 * Makes the entries that a device is given for a buffer of `byteLength` bytes which begins `sgOffset` bytes into its memory:
 * under the device's limits, or in one range of its IOMMU. `what` names the buffer in errors: `EINVAL` with `error.rule`
 * where the memory does not suit, `ENOSPC` where the IOMMU is exhausted.
 */
export function entriesFor(
  device: Device,
  segments: readonly Segment[],
  sgOffset: number,
  byteLength: number,
  what: string,
): DeviceEntries {
  const own = trimmed(segments, sgOffset, byteLength)
  const mapping = device.iommu?.map(own, device)
  const pieces = fitSegments(mapping?.runs ?? own, device.constraints)
  if (!('rule' in pieces)) return { entries: pieces.map(entryOf), release: () => mapping?.unmap() }
  mapping?.unmap()
  const values = { device: device.name, what, ...pieces }
  throw problem('constraint', values, { result: -errno.EINVAL, refusal: pieces })
}

function entryOf({ address, length }: Segment): SgEntry {
  return { dmaAddress: BigInt(address), length, offset: address % PAGE_SIZE }
}
