import type { DmaDirection } from '../dma/constraints.ts'
import { Device } from '../dma/device.ts'
import type { PageSource } from '../dma/page-source.ts'
import { systemMemory } from '../dma/physical-memory.ts'
import { type DeviceEntries, entriesFor, SgTable } from '../dma/sg-table.ts'
import { throwIfAborted } from '../internal/abort.ts'
import { problem } from '../internal/errors.ts'
import { abortSignal, boolean, callable, oneOf, options } from '../internal/validate.ts'
import type { CacheHints } from '../memory/cache/maintenance.ts'
import { checkHints } from './access.ts'
import type { AttachmentHost, HostAttachment, HostMapping } from './attachment-host.ts'
import type { BufferCore } from './buffer-core.ts'
import { FIXED_POLICY, Placement } from './placement.ts'
import { TableMemory } from './table-memory.ts'

export interface AttachOptions {
  /**
   * Makes this a dynamic importer: its maps do not hold the buffer in its place. Called when the buffer has moved, or is
   * about to be given other memory: tables made before are stale (`ESTALE`), map again. Without it the importer is
   * persistent: the buffer stays while it is mapped, and the next map tells whether it moved in between.
   */
  readonly moveNotify?: () => void
  /**
   * Mapping is expensive for this importer (IOMMU page tables): what a map has set up is kept after `unmap` until the
   * buffer moves or the attachment ends.
   */
  readonly expensiveMap?: boolean
}

export interface MapOptions extends CacheHints {
  readonly signal?: AbortSignal
}

const attachOptions = ['moveNotify', 'expensiveMap'] as const
const mapOptions = ['signal', 'skipClean', 'skipInvalidate'] as const
const directions = ['to-device', 'from-device', 'bidirectional'] as const

/** Forgotten attachments would hold their buffer in its place for ever. */
const registry = new FinalizationRegistry<{ host: HostAttachment; core: BufferCore }>(({ host, core }) => {
  host.detach()
  core.release()
})

/** Attaches a device to a buffer, wherever its exporter is. */
export async function attachDevice(
  core: BufferCore,
  device: Device,
  attachOpts: AttachOptions | undefined,
): Promise<Attachment> {
  if (!(device instanceof Device)) throw problem('receiver', { what: 'a Device' })
  const opts = options('attach', attachOpts, attachOptions)
  const { moveNotify } = opts
  if (moveNotify !== undefined) callable('moveNotify', moveNotify)
  if (opts.expensiveMap !== undefined) boolean('expensiveMap', opts.expensiveMap)
  core.retain()
  try {
    const host = await hostOf(core).attach({
      deviceName: device.name,
      pid: process.pid,
      constraints: device.memoryConstraints,
      moveNotify,
    })
    return new Attachment(core, device, host, opts)
  } finally {
    core.release()
  }
}

/** Memory that was never asked for its place gets one, of scattered pages, and stays there. For the layers above. */
export function hostOf(core: BufferCore): AttachmentHost {
  return core.host ?? new Placement(core, { source: core.pageSource ?? systemPages, policy: FIXED_POLICY })
}

const systemPages: PageSource = {
  allocate: (byteLength, constraints) => systemMemory().allocate(byteLength, { constraints }),
}

/** What a map has set up, and how often it is in use. */
interface Prepared {
  readonly generation: number
  readonly entries: DeviceEntries
  tables: number
}

/**
 * A device's tie to a buffer (`struct dma_buf_attachment`). Made by `DmaBuf.attach`; it keeps the buffer, whoever closes
 * its `DmaBuf`, until `detach()`, `using`, or at last the garbage collector.
 */
export class Attachment implements Disposable, AsyncDisposable {
  readonly device: Device
  readonly #core: BufferCore
  readonly #host: HostAttachment
  readonly #dynamic: boolean
  readonly #expensiveMap: boolean
  readonly #tables = new Set<SgTable>()
  #prepared: Prepared | undefined
  #lastGeneration: number | undefined
  #detached = false

  /** @internal */
  constructor(core: BufferCore, device: Device, host: HostAttachment, opts: AttachOptions) {
    this.#core = core
    this.device = device
    this.#host = host
    this.#dynamic = opts.moveNotify !== undefined
    this.#expensiveMap = opts.expensiveMap ?? false
    core.retain()
    registry.register(this, { host, core }, this)
  }

  get detached(): boolean {
    return this.#detached
  }

  /** Tables that are mapped now. */
  get mapped(): number {
    return this.#tables.size
  }

  /**
   * The buffer's memory as this device may use it. Places the storage where that is possible, allocating or moving it
   * if need be (which waits for others' maps and brackets to end). Errors: `EINVAL` with `rule`, `needed` and `got` when
   * memory does not suit and may not move; `EBUSY` when others do not let it go within the exporter's `moveTimeout`;
   * `ENOMEM`, `ENOSPC`, `EDQUOT` without memory; `ENOSPC` of the IOMMU; `ENODEV` revoked, or its exporter gone; `EACCES`
   * for a device that would write into memory which is read-only here; `EBADF` detached. The caller unmaps it.
   */
  async map(direction: DmaDirection, mapOpts?: MapOptions): Promise<SgTable> {
    this.#check()
    oneOf('direction', direction, directions)
    const opts = options('map', mapOpts, mapOptions)
    const signal = abortSignal('signal', opts.signal)
    const hints = checkHints(opts)
    throwIfAborted(signal, 'map')
    const core = this.#core
    if (direction !== 'to-device' && !core.storage.writable) {
      throw problem('readOnly', { name: core.name, access: direction })
    }
    const mapping = await this.#host.map(direction, signal)
    try {
      // The exporter's answer may have crossed with detach().
      this.#check()
      return this.#table(direction, mapping, hints)
    } catch (error) {
      this.#host.unmap(direction)
      throw error
    }
  }

  /** Keeps the buffer where this device reaches it until {@link unpin}; counted. Dynamic importers only (`EINVAL`). */
  async pin(): Promise<void> {
    this.#check()
    await this.#host.pin()
  }

  unpin(): void {
    this.#check()
    this.#host.unpin()
  }

  /** Unmaps what is still mapped, unpins, detaches. Idempotent. */
  detach(): void {
    if (this.#detached) return
    this.#detached = true
    registry.unregister(this)
    for (const table of this.#tables) table.unmap()
    this.#drop(this.#prepared)
    this.#prepared = undefined
    this.#host.detach()
    this.#core.release()
  }

  [Symbol.dispose](): void {
    this.detach()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.detach()
  }

  #check(): void {
    const { name } = this.#core
    if (this.#detached) throw problem('closedAttachment', { device: this.device.name, name })
  }

  #table(direction: DmaDirection, mapping: HostMapping, hints: CacheHints): SgTable {
    const { generation } = mapping
    const moved = this.#lastGeneration !== undefined && this.#lastGeneration !== generation
    const prepared = this.#prepare(mapping)
    const { coherence } = this.#core
    const { coherent } = this.device
    coherence?.mapped(direction, coherent, hints)
    prepared.tables++
    this.#lastGeneration = generation
    const table: SgTable = new SgTable({
      device: this.device,
      direction,
      entries: prepared.entries.entries,
      byteLength: this.#core.storage.byteLength,
      moved,
      generation,
      memory: new TableMemory(this.#core, this.device, this.#dynamic ? generation : undefined),
      unmap: () => {
        this.#tables.delete(table)
        prepared.tables--
        if (prepared !== this.#prepared || !this.#expensiveMap) this.#drop(prepared)
        try {
          coherence?.unmapped(direction, coherent, hints)
        } finally {
          this.#host.unmap(direction)
        }
      },
    })
    this.#tables.add(table)
    return table
  }

  /** One set of addresses serves all tables of a generation. */
  #prepare(mapping: HostMapping): Prepared {
    const kept = this.#prepared
    if (kept?.generation === mapping.generation) return kept
    // What is still in use goes with its last table.
    this.#drop(kept)
    const { storage, name } = this.#core
    const entries = entriesFor(
      this.device,
      mapping.segments,
      mapping.offset,
      storage.byteLength,
      `buffer ${name}`,
    )
    this.#prepared = { generation: mapping.generation, entries, tables: 0 }
    return this.#prepared
  }

  #drop(prepared: Prepared | undefined): void {
    if (prepared === undefined || prepared.tables > 0) return
    prepared.entries.release()
    if (this.#prepared === prepared) this.#prepared = undefined
  }
}
