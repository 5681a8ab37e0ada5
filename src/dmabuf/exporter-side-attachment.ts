import type { DmaConstraints, DmaDirection } from '../dma/constraints.ts'
import type { Pages } from '../dma/page-source.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { problem } from '../internal/errors.ts'
import type { DeviceDescription, HostAttachment, HostMapping } from './attachment-host.ts'
import type { BufferCore } from './buffer-core.ts'
import type { ExporterAttachment } from './exporter-ops.ts'

/** The placement of the buffer, as its attachments know it. */
export interface AttachmentOwner {
  readonly core: BufferCore
  readonly attachments: Set<ExporterSideAttachment>
  map(
    attachment: ExporterSideAttachment,
    direction: DmaDirection,
    signal: AbortSignal | undefined,
  ): Promise<HostMapping>
  pin(attachment: ExporterSideAttachment): Promise<void>
  /** A map or a pin has ended. */
  released(): void
}

/** One attachment as the exporter keeps it; the device may be in any process. */
export class ExporterSideAttachment implements ExporterAttachment, HostAttachment {
  readonly device: DeviceDescription
  /** Pages that its device was found to reach. */
  reaches: Pages | undefined
  readonly #placement: AttachmentOwner
  #maps: DmaDirection[] = []
  #pins = 0
  #detached = false

  constructor(placement: AttachmentOwner, device: DeviceDescription) {
    this.#placement = placement
    this.device = device
  }

  get deviceName(): string {
    return this.device.deviceName
  }

  get pid(): number {
    return this.device.pid
  }

  get constraints(): DmaConstraints {
    return this.device.constraints
  }

  get dynamic(): boolean {
    return this.device.moveNotify !== undefined
  }

  get isMapped(): boolean {
    return this.#maps.length > 0
  }

  /** Whether the buffer must stay where it is for it. A dynamic importer is told when it moves, so its maps do not count. */
  get holds(): boolean {
    return this.#pins > 0 || (this.isMapped && !this.dynamic)
  }

  check(): void {
    if (!this.#detached) return
    throw problem('closedAttachment', { device: this.deviceName, name: this.#placement.core.name })
  }

  async map(direction: DmaDirection, signal: AbortSignal | undefined): Promise<HostMapping> {
    this.check()
    return this.#placement.map(this, direction, signal)
  }

  async pin(): Promise<void> {
    this.check()
    if (!this.dynamic) {
      const { name } = this.#placement.core
      throw problem('notDynamic', { device: this.deviceName, name, what: 'pin' })
    }
    return this.#placement.pin(this)
  }

  /** The storage is in its place: the exporter's own part, in the kernel's order (pin, then map). */
  mapped(direction: DmaDirection): void {
    // It may have been detached while the storage moved.
    this.check()
    const { ops } = this.#placement.core
    if (!this.dynamic) ops?.pin?.(this)
    try {
      ops?.map?.(this, direction)
    } catch (error) {
      if (!this.dynamic) ops?.unpin?.(this)
      throw error
    }
    this.#maps.push(direction)
    if (diagnostics.mapped.hasSubscribers) diagnostics.mapped.publish({ ...this.event(), direction })
  }

  pinned(): void {
    this.check()
    this.#placement.core.ops?.pin?.(this)
    this.#pins++
  }

  unmap(direction: DmaDirection): void {
    const index = this.#maps.indexOf(direction)
    if (index < 0) return
    this.#maps.splice(index, 1)
    const { ops } = this.#placement.core
    try {
      ops?.unmap?.(this, direction)
    } finally {
      if (!this.dynamic) ops?.unpin?.(this)
      if (diagnostics.unmapped.hasSubscribers) diagnostics.unmapped.publish({ ...this.event(), direction })
      this.#placement.released()
    }
  }

  unpin(): void {
    if (this.#pins === 0) return
    this.#pins--
    this.#placement.core.ops?.unpin?.(this)
    this.#placement.released()
  }

  detach(): void {
    if (this.#detached) return
    this.#detached = true
    const { core, attachments } = this.#placement
    try {
      this.#end()
    } finally {
      attachments.delete(this)
      try {
        // Out of the list first, as in dma_buf_detach().
        core.ops?.detach?.(this)
      } finally {
        if (diagnostics.detached.hasSubscribers) diagnostics.detached.publish(this.event())
        core.release()
      }
    }
  }

  /** The exporter's ops are a stranger's code: one that throws must not keep the others from being told. */
  #end(): void {
    const failures: unknown[] = []
    for (;;) {
      const direction = this.#maps[0]
      try {
        if (direction !== undefined) this.unmap(direction)
        else if (this.#pins > 0) this.unpin()
        else break
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  /** What the diagnostics channels tell of it. */
  event(): { id: number; name: string; device: string; pid: number } {
    const { id, name } = this.#placement.core
    return { id, name, device: this.deviceName, pid: this.pid }
  }
}
