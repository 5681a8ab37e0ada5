import {
  type DmaConstraints,
  type DmaDirection,
  type Refusal,
  type Segment,
  unconstrained,
} from '../dma/constraints.ts'
import { coalesce, fitSegments, trimmed } from '../dma/fit.ts'
import type { PageSource, Pages } from '../dma/page-source.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { DmaBufError, errno, problem } from '../internal/errors.ts'
import { Turn } from '../internal/turn.ts'
import { addon } from '../native/load.ts'
import type { AttachmentHost, DeviceDescription, HostAttachment, HostMapping } from './attachment-host.ts'
import type { BufferCore } from './buffer-core.ts'
import type { Entry } from './entry.ts'
import { ExporterSideAttachment } from './exporter-side-attachment.ts'
import { kernelFencesPassed } from './fences.ts'
import { Migration } from './migration.ts'

/** What an exporter decides about the place of a buffer. */
export interface PlacementPolicy {
  /** Whether the storage may be moved to where a device reaches it. */
  readonly movable: boolean
  /** What becomes of a device that attaches when the storage is somewhere it cannot use. */
  readonly lateAttach: 'migrate' | 'busy'
  /** Milliseconds that a move waits for brackets and maps to end. */
  readonly moveTimeout: number
  /** Whether a holder that stays inside its bracket for longer is left behind. */
  readonly evict: boolean
  /** Whether storage for the next move is kept ready. */
  readonly prepareMove: boolean
}

export interface PlacementInit {
  readonly source: PageSource
  readonly policy: PlacementPolicy
  /** What the exporter itself asks of the memory. */
  readonly constraints?: DmaConstraints
  /** Pages that the buffer has already. */
  readonly pages?: Pages
  /** Makes the storage when it is first needed; without it the storage is there. */
  readonly allocateStorage?: () => void
  /** Where the pages should come from for this device (`undefined`: CPU access), if they must change their place. */
  readonly sourceFor?: (device: DeviceDescription | undefined) => PageSource | undefined
}

export const FIXED_POLICY: PlacementPolicy = Object.freeze({
  movable: false,
  lateAttach: 'migrate',
  moveTimeout: 1000,
  evict: false,
  prepareMove: false,
})

/**
 * The exporter's side of where a buffer lies: its attachments, the pages under it, and when they move. One for each
 * exported buffer that a device attached to, or that is placed. Follows the exporter's half of drivers/dma-buf/dma-buf.c;
 * choosing memory by the constraints of all who are attached follows L. Pinchart's and R. Clark's proposals of 2011, which
 * no exporter in the kernel took up.
 */
export class Placement implements Entry, AttachmentHost {
  readonly core: BufferCore
  readonly policy: PlacementPolicy
  readonly attachments = new Set<ExporterSideAttachment>()
  readonly migration: Migration
  readonly #init: PlacementInit
  readonly #turn = new Turn()
  #source: PageSource
  #pages: Pages | undefined
  #fixed: boolean
  /** Called when a map or a pin ends. */
  #released: (() => void)[] = []

  constructor(core: BufferCore, init: PlacementInit) {
    this.core = core
    this.policy = init.policy
    this.#init = init
    this.#source = init.source
    this.#pages = init.pages
    this.#fixed = !init.policy.movable
    this.migration = new Migration(this)
    core.host = this
    // Memory that is there and never moves needs nothing in the way of a bracket.
    if (init.policy.movable || init.allocateStorage !== undefined) core.entry = this
    const { onDestroy } = core
    core.onDestroy = () => {
      for (const attachment of this.attachments) attachment.detach()
      this.migration.end()
      this.#pages?.free()
      this.#pages = undefined
      onDestroy()
    }
  }

  get segments(): readonly Segment[] | undefined {
    return this.#pages?.segments
  }

  /** Where the pages are from. */
  get source(): PageSource {
    return this.#source
  }

  /** Something is being done with the place of the buffer, or waits for its turn. */
  get busy(): boolean {
    return this.#turn.busy
  }

  get fixed(): boolean {
    return this.#fixed && this.#hasStorage
  }

  get #hasStorage(): boolean {
    return this.core.storage.fd >= 0
  }

  /** Bytes of the first page before the buffer. */
  get offset(): number {
    return this.core.storage.offset % addon().pageSize
  }

  // ---- brackets of the exporter's own environment --------------------------------------------------------

  admit(): boolean {
    return this.#hasStorage && !this.migration.moving
  }

  lowered(): void {
    if (this.migration.moving) this.migration.ownBracketEnded()
  }

  async passable(signal: AbortSignal | undefined): Promise<void> {
    await this.#turn.take(signal, 'beginCpuAccess', () => this.#allocate(undefined))
  }

  // ---- attachments -----------------------------------------------------------------------------------------

  async attach(device: DeviceDescription): Promise<HostAttachment> {
    const { core, policy } = this
    if (core.isRevoked) throw problem('revoked', { name: core.name })
    const refusal = this.#refusal(device.constraints)
    if (refusal !== undefined && policy.lateAttach === 'busy') {
      throw problem('lateAttach', { device: device.deviceName, name: core.name, ...refusal }, { refusal })
    }
    const attachment = new ExporterSideAttachment(this, device)
    // Before it stands in the list, as in dma_buf_dynamic_attach().
    core.ops?.attach?.(attachment)
    this.attachments.add(attachment)
    core.retain()
    if (diagnostics.attached.hasSubscribers) diagnostics.attached.publish(attachment.event())
    return attachment
  }

  map(
    attachment: ExporterSideAttachment,
    direction: DmaDirection,
    signal: AbortSignal | undefined,
  ): Promise<HostMapping> {
    return this.#turn.take(signal, 'map', async () => {
      await this.#reach(attachment, signal)
      // As dma_buf_map_attachment() does for static importers; dynamic ones wait for themselves.
      if (!attachment.dynamic) await kernelFencesPassed(this.core, signal)
      attachment.mapped(direction)
      return { segments: this.segments ?? [], offset: this.offset, generation: this.core.generation }
    })
  }

  /** Places the storage where the device of an attachment reaches it, and pins it there. */
  pin(attachment: ExporterSideAttachment): Promise<void> {
    return this.#turn.take(undefined, 'pin', async () => {
      await this.#reach(attachment, undefined)
      attachment.pinned()
    })
  }

  /** A map or a pin has ended. */
  released(): void {
    const released = this.#released
    this.#released = []
    for (const callback of released) callback()
  }

  /** Resolves when nothing but dynamic importers' maps holds the buffer in its place. */
  async unheld(signal: AbortSignal): Promise<void> {
    while (this.holding.length > 0) {
      signal.throwIfAborted()
      await new Promise<void>((resolve, reject) => {
        const stop = () => reject(signal.reason)
        signal.addEventListener('abort', stop, { once: true })
        this.#released.push(() => {
          signal.removeEventListener('abort', stop)
          resolve()
        })
      })
    }
  }

  /** Attachments that hold the buffer in its place. */
  get holding(): ExporterSideAttachment[] {
    return [...this.attachments].filter((attachment) => attachment.holds)
  }

  // ---- places ------------------------------------------------------------------------------------------------

  /** Takes pages and storage now, for whoever is attached. */
  allocate(): Promise<void> {
    return this.#turn.take(undefined, 'allocate', () => this.#allocate(undefined))
  }

  /** From now on the buffer does not move; its storage is there when this resolves. */
  fix(): Promise<void> {
    return this.#turn.take(undefined, 'fix', async () => {
      await this.#allocate(undefined)
      this.#fixNow()
    })
  }

  /** As {@link fix}, at once, where nothing has to be waited for; returns whether it is done. */
  fixSync(): boolean {
    if (this.#turn.busy || this.migration.moving) return false
    if (!this.#hasStorage) {
      // Holders would have to be told first.
      if (this.#init.allocateStorage === undefined) return false
      const pages = this.#pages ?? this.#source.allocate(this.core.storage.byteLength, this.#ownConstraints)
      if (pages instanceof Promise) {
        pages.then((late) => late.free()).catch(() => {})
        return false
      }
      this.#pages = pages
      this.#init.allocateStorage()
      this.#announce()
    }
    this.#fixNow()
    return true
  }

  /** Moves the buffer to pages of another source: eviction, recall. Waits for maps and brackets to end. */
  moveTo(source: PageSource, signal?: AbortSignal): Promise<void> {
    return this.#turn.take(signal, 'moveTo', async () => {
      if (this.#source === source) return
      // Somebody may have asked for its descriptor while this waited for its turn.
      if (this.#fixed) throw problem('stays', { name: this.core.name })
      await this.#changeSource(source, undefined, signal)
    })
  }

  #fixNow(): void {
    this.#fixed = true
    this.core.entry = undefined
    this.migration.end()
  }

  get #ownConstraints(): DmaConstraints {
    return this.#init.constraints ?? unconstrained
  }

  /** What is wrong with the present place for a device; nothing while there is none. */
  #refusal(constraints: DmaConstraints): Refusal | undefined {
    const segments = this.segments
    if (segments === undefined) return undefined
    const result = fitSegments(trimmed(segments, this.offset, this.core.storage.byteLength), constraints)
    return 'rule' in result ? result : undefined
  }

  /** Pages and storage, wherever; `mapper` asks for them. */
  async #allocate(mapper: ExporterSideAttachment | undefined): Promise<void> {
    if (this.#pages === undefined) {
      const source = this.#init.sourceFor?.(mapper?.device)
      if (source !== undefined) this.#source = source
      this.#pages = await this.#choose(mapper)
    }
    if (this.#hasStorage) return
    this.#init.allocateStorage?.()
    this.#announce()
    if (!this.policy.movable) this.#fixNow()
    else this.migration.prepare()
  }

  /** Holders that had the buffer before it had any storage get it now. */
  #announce(): void {
    const { storage, generation, shared } = this.core
    shared?.audience?.allocated(storage, generation)
  }

  async #reach(attachment: ExporterSideAttachment, signal: AbortSignal | undefined): Promise<void> {
    const { core, policy } = this
    if (core.isRevoked) throw problem('revoked', { name: core.name })
    attachment.check()
    await this.#allocate(attachment)
    const source = this.#init.sourceFor?.(attachment.device)
    if (source !== undefined && source !== this.#source && !this.#fixed)
      await this.#changeSource(source, attachment, signal)
    // Asked once for each place: a buffer of many pages is a long list.
    if (attachment.reaches === this.#pages) return
    const refusal = this.#refusal(attachment.constraints)
    if (refusal === undefined) {
      attachment.reaches = this.#pages
      return
    }
    if (!policy.movable || this.#fixed) {
      const values = { device: attachment.deviceName, what: `buffer ${core.name}`, ...refusal }
      throw problem('constraint', values, { result: -errno.EINVAL, refusal })
    }
    await this.#moveFor(attachment, signal)
    attachment.check()
  }

  async #changeSource(
    source: PageSource,
    mapper: ExporterSideAttachment | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const before = this.#source
    this.#source = source
    try {
      if (this.#pages !== undefined) await this.#moveFor(mapper, signal)
    } catch (error) {
      this.#source = before
      throw error
    }
  }

  async #moveFor(mapper: ExporterSideAttachment | undefined, signal: AbortSignal | undefined): Promise<void> {
    const old = this.#pages
    const pages = await this.migration.move(() => this.#choose(mapper), signal)
    this.#pages = pages
    old?.free()
  }

  /**
   * Pages that suit all who are attached, as the talk has it; where no memory does, the mapper and the exporter; at last
   * the mapper alone.
   */
  async #choose(mapper: ExporterSideAttachment | undefined): Promise<Pages> {
    const { byteLength } = this.core.storage
    const own = this.#ownConstraints
    const all = Array.from(this.attachments, ({ constraints }) => constraints)
    const attempts = [[own, ...all]]
    if (mapper !== undefined) attempts.push([own, mapper.constraints], [mapper.constraints])
    else attempts.push([own])
    let last: unknown
    for (const attempt of attempts) {
      const constraints = coalesce(attempt, byteLength)
      if (constraints === undefined) continue
      try {
        return await this.#source.allocate(this.offset + byteLength, constraints)
      } catch (error) {
        if (!(error instanceof DmaBufError) || error.code !== 'ENOMEM') throw error
        last = error
      }
    }
    throw last
  }
}
