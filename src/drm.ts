export { bitsPerPixel, fourccToNumber, fourccToString, modifiers, pixelFormat } from './dma/fourcc.ts'
export { type PixelFormat, type PlaneFormat, pixelFormats } from './dma/pixel-formats.ts'
export {
  type LaidOutPlane,
  type PlaneLayout,
  type PlaneLayoutRequest,
  planeLayout,
} from './dma/plane-layout.ts'
export {
  checkImage,
  type ImageDescription,
  type ImageLimits,
  type ImagePlane,
  type ImageRefusal,
  type ImageShape,
  imageRefusal,
  type MeasuredImage,
} from './dmabuf/image.ts'
export type { DrmNode } from './drm/client-state.ts'
export { Display, type Picture, type ShowOptions } from './drm/display.ts'
export {
  type CreateDumbRequest,
  DrmClient,
  type DumbBuffer,
  type FdToHandleOptions,
  type HandleToFdOptions,
  type MapDumbOptions,
} from './drm/drm-client.ts'
export { DrmDevice, type DrmDeviceOptions, type DrmDeviceStats } from './drm/drm-device.ts'
export type { DumbLayout, DumbRequest } from './drm/dumb-layout.ts'
export { Framebuffer, type FramebufferPlane, type FramebufferRequest } from './drm/framebuffer.ts'
export type { ExportAccess } from './drm/gem-storage.ts'
export { MappedDumb } from './drm/mapped-dumb.ts'
export type { VideoMemoryStats } from './drm/video-memory.ts'
