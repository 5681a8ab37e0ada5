export type { Access, AccessOptions } from './dmabuf/access.ts'
export type { Attachment, AttachOptions, MapOptions } from './dmabuf/attachment.ts'
export type { BracketFaults } from './dmabuf/bracket-faults.ts'
export { recordStacks } from './dmabuf/buffer-core.ts'
export { type AttachedDevice, type BufferInfo, bufinfo } from './dmabuf/bufinfo.ts'
export type { Coherency } from './dmabuf/coherence.ts'
export { type Copy, type CopyOptions, CpuAccess } from './dmabuf/cpu-access.ts'
export { DmaBuf } from './dmabuf/dmabuf.ts'
export type { ExporterInfo, ExportInfo } from './dmabuf/export.ts'
export type { ExportPlacedInfo } from './dmabuf/export-placed.ts'
export type { ExporterAttachment, ExporterOps } from './dmabuf/exporter-ops.ts'
export type { FenceOptions } from './dmabuf/fences.ts'
export type { ForeignOptions } from './dmabuf/foreign.ts'
export { guard } from './dmabuf/guard.ts'
export { Kmap } from './dmabuf/kmap.ts'
export { MappedRange, type MmapOptions } from './dmabuf/mapped-range.ts'
export type { MoveCosts } from './dmabuf/migration.ts'
export type { PlacementOptions } from './dmabuf/placement-options.ts'
export type { HolderInfo } from './dmabuf/shared-state.ts'
export { Vmap } from './dmabuf/vmap.ts'
export type { AllocateOptions } from './exporters/allocate-options.ts'
export { BufferPool } from './exporters/buffer-pool.ts'
export { ContiguousHeap } from './exporters/contiguous-heap.ts'
export { type HeapOptions, type PoolOptions, SystemHeap } from './exporters/system-heap.ts'
export type { ExportableMemory, WasmMemory } from './exporters/vmemexp/block.ts'
export { type VmemExporter, type VmemExportOptions, vmemexp } from './exporters/vmemexp/vmemexp.ts'
export { DmaBufError } from './internal/errors.ts'
export { limits } from './internal/limits.ts'
export { memoryBudget, setMemoryBudget } from './memory/budget.ts'
export type { GuardOptions } from './memory/guard/guard-policy.ts'
export { GUARD_EXIT_STATUS, violations } from './memory/guard/guarded-environment.ts'
export type { OpenRange } from './memory/guard/page-rights.ts'
export type { GuardMode, Violation, ViolationGroup } from './memory/guard/violation.ts'
export type { Sharing } from './memory/seals.ts'
export {
  Channel,
  type ChannelClosed,
  type ChannelEnd,
  type ChannelOptions,
  type Received,
  type SendOptions,
  type SignalOptions,
} from './share/channel.ts'
export {
  type ForkedWithChannel,
  forkWithChannel,
  type WorkerWithChannel,
  workerWithChannel,
} from './share/children.ts'
export { type ConnectOptions, connect } from './share/connect.ts'
export { type Allow, type ListenOptions, listen, type Server } from './share/server.ts'
export {
  Fence,
  type FenceCallback,
  type FenceStatus,
  type FenceWaitOptions,
} from './sync/fence.ts'
export { FenceArray } from './sync/fence-array.ts'
export { FenceChain } from './sync/fence-chain.ts'
export { mergeFences } from './sync/merge.ts'
export { type FenceUsage, Reservation, type ReservationEntry } from './sync/reservation.ts'
export { type SyncFenceInfo, SyncFile, type SyncFileInfo, type SyncFileOptions } from './sync/sync-file.ts'
export { type SignalFenceOptions, Timeline, type TimelineOptions } from './sync/timeline.ts'
export type { Address } from './transport/address.ts'
export type { Credentials } from './transport/credentials.ts'
export type { JsonLike } from './transport/message-json.ts'
