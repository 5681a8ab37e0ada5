export type { DmaConstraints, DmaDirection, DmaRule, Refusal } from './dma/constraints.ts'
export { Device, type DeviceOptions } from './dma/device.ts'
export { DmaEngine } from './dma/engine.ts'
export type { ImageOptions, ImageRules } from './dma/image-options.ts'
export { checkImageFor, type DeviceImage, type DeviceImagePlane } from './dma/image-rules.ts'
export { Iommu, type IommuOptions } from './dma/iommu.ts'
export {
  type AreaStats,
  type FragmentOptions,
  type PhysicalAllocateOptions,
  PhysicalMemory,
  type PhysicalMemoryOptions,
  type PhysicalMemoryStats,
  PhysicalPages,
  systemMemory,
  type ZoneName,
  type ZoneStats,
} from './dma/physical-memory.ts'
export * as presets from './dma/presets.ts'
export { type SgEntry, SgTable } from './dma/sg-table.ts'
export { Attachment, type AttachOptions, type MapOptions } from './dmabuf/attachment.ts'
