import type { DmaConstraints, DmaDirection } from '../dma/constraints.ts'
import type { Access } from './access.ts'

/** An attachment as its exporter sees it: which device, in which process. */
export interface ExporterAttachment {
  readonly deviceName: string
  /** Process of the importer; this one's own for a device here. */
  readonly pid: number
  /** What the device asks of memory; nothing when an IOMMU stands before it. */
  readonly constraints: DmaConstraints
  /** The importer can be told that the buffer moves, even while it has it mapped. */
  readonly dynamic: boolean
}

/**
 * What an exporter does for the buffers it exports, checked when a buffer is exported, as `dma_buf_export()` does
 * (`struct dma_buf_ops`, include/linux/dma-buf.h). They run in the exporter's environment, whoever asked. What one of them
 * throws is what the importer's call fails with.
 */
export interface ExporterOps {
  /** A device attaches; it is not in the list of attachments yet. Throw to refuse it. */
  attach?(attachment: ExporterAttachment): void
  /** It is out of the list already. */
  detach?(attachment: ExporterAttachment): void
  /** The buffer must not move until `unpin`. An exporter has both or neither. */
  pin?(attachment: ExporterAttachment): void
  unpin?(attachment: ExporterAttachment): void
  /** A table is about to be made, after the storage was placed. Bring side data in step for the device. */
  map?(attachment: ExporterAttachment, direction: DmaDirection): void
  unmap?(attachment: ExporterAttachment, direction: DmaDirection): void
  /**
   * The exporter's environment itself begins or ends CPU access to `length` bytes from `offset`. (A bracket of a holder
   * costs no message, so nobody is asked for it.)
   */
  beginCpuAccess?(access: Access, offset: number, length: number): void
  endCpuAccess?(access: Access, offset: number, length: number): void
  /**
   * A page is mapped inside a bracket of the exporter's environment. As the kernel demands of its `kmap`, it does not fail:
   * what can fail belongs into `beginCpuAccess`.
   */
  kmap?(page: number): void
  kunmap?(page: number): void
  /**
   * The first of a buffer's users in the exporter's environment wants a linear mapping, or the last has given it back. `null`
   * for memory that has none to give: `vmap()` is `EINVAL` then, in every process.
   */
  readonly vmap?: (() => void) | null
  vunmap?(): void
  /** The exporter's environment maps `length` bytes from `offset` for longer than a bracket. Throw to refuse that. */
  mmap?(offset: number, length: number): void
  /**
   * Moves the contents, in place of the copy that the library makes: a blit, a DMA engine. Both arrays have the length of
   * the buffer and are valid until it returns, or until its promise settles.
   */
  move?(from: Uint8Array, to: Uint8Array): void | Promise<void>
  /**
   * The last holder anywhere is gone and the exporter itself has closed the buffer: give back what lies behind
   * it. Called once. The storage descriptor given to `DmaBuf.export` is closed by the library afterwards.
   */
  release(): void
}
