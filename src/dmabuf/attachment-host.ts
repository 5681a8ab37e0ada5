import type { DmaConstraints, DmaDirection, Segment } from '../dma/constraints.ts'

/** A device as the exporter is told of it, in whatever process it is. */
export interface DeviceDescription {
  readonly deviceName: string
  readonly pid: number
  /** `unconstrained` for a device behind an IOMMU: that one makes any pages suit. */
  readonly constraints: DmaConstraints
  /** Called when the buffer has moved: mappings are stale, map again. Only dynamic importers have it. */
  readonly moveNotify: (() => void) | undefined
}

/** Where the attachments of a buffer are kept: with its exporter, in this environment or behind a door. */
export interface AttachmentHost {
  /** `EBUSY` where the exporter's policy takes no late attachment that does not suit; what its `ops.attach` throws. */
  attach(device: DeviceDescription): Promise<HostAttachment>
}

export interface HostAttachment {
  /**
   * Places, or moves, the storage so that the device reaches it, and holds it there until {@link unmap} (for a
   * dynamic importer: until it is told otherwise).
   */
  map(direction: DmaDirection, signal: AbortSignal | undefined): Promise<HostMapping>
  /** One call for each map. */
  unmap(direction: DmaDirection): void
  /** The buffer stays where it is until {@link unpin}. Dynamic importers only (`EINVAL`). */
  pin(): Promise<void>
  unpin(): void
  /** Ends what is still mapped and pinned: unmap, unpin, detach, in that order. */
  detach(): void
}

export interface HostMapping {
  /** The runs of physical memory behind the buffer, in its order, neighbours joined. */
  readonly segments: readonly Segment[]
  /** Bytes of the first segment before the buffer's first byte. */
  readonly offset: number
  /** Counts the storages that the buffer has had. */
  readonly generation: number
}
