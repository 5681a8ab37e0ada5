import type { BufferCore } from '../dmabuf/buffer-core.ts'

/**
 * A buffer as a device knows it (`struct drm_gem_object`): allocated here, or imported. Kept by references: one for each
 * handle and for each plane of a framebuffer.
 */
export interface GemObject {
  /** The dma-buf behind it: what PRIME tells objects apart by. */
  readonly core: BufferCore
  /** Bytes. */
  readonly byteLength: number
  retain(): void
  release(): void
}
