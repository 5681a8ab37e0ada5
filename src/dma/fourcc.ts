import { problem } from '../internal/errors.ts'
import { shown } from '../internal/validate.ts'
import { fourccCode, type PixelFormat, type PlaneFormat, pixelFormats } from './pixel-formats.ts'

/** How the pixels of an image lie in memory beyond fourcc and stride: include/uapi/drm/drm_fourcc.h. */
export const modifiers = Object.freeze({
  /** Line after line (`DRM_FORMAT_MOD_LINEAR`). */
  linear: 0n,
  /** Nobody said (`DRM_FORMAT_MOD_INVALID`): what driver and driver agree on otherwise. */
  invalid: 0x00ff_ffff_ffff_ffffn,
})

/** `'XR24'` to 0x34325258, as the kernel's `fourcc_code`; names of two or three characters end in blanks. */
export function fourccToNumber(fourcc: string): number {
  if (typeof fourcc !== 'string' || !/^[\x20-\x7e]{1,4}$/.test(fourcc)) {
    throw problem('format', { fourcc: shown(fourcc) })
  }
  return fourccCode(fourcc)
}

/** 0x34325258 to `'XR24'`. */
export function fourccToString(code: number): string {
  const bytes = [0, 8, 16, 24].map((shift) => (code >>> shift) & 0xff)
  if (!Number.isInteger(code) || code < 0 || code > 0xffff_ffff || bytes.some((b) => b < 0x20 || b > 0x7e)) {
    throw problem('format', { fourcc: shown(code) })
  }
  return String.fromCharCode(...bytes)
}

/** The description of a format, by its name or number; `EINVAL` for one that is not known. */
export function pixelFormat(fourcc: string | number): PixelFormat {
  const code = typeof fourcc === 'number' ? fourcc : fourccToNumber(fourcc)
  const format = pixelFormats.get(code)
  if (format === undefined) throw problem('format', { fourcc: shown(fourcc) })
  return format
}

/** Bits of memory for each pixel of a plane, as `drm_format_info_bpp`. */
export function bitsPerPixel(format: PixelFormat, plane = 0): number {
  const { bytesPerBlock, blockWidth, blockHeight } = planeOf(format, plane)
  return Math.floor((bytesPerBlock * 8) / (blockWidth * blockHeight))
}

/** Pixels of a plane in a line, for an image of this width. */
export function planeWidth(format: PixelFormat, plane: number, width: number): number {
  return plane === 0 ? width : Math.ceil(width / format.horizontalSubsampling)
}

/** Lines of a plane, for an image of this height. */
export function planeHeight(format: PixelFormat, plane: number, height: number): number {
  return plane === 0 ? height : Math.ceil(height / format.verticalSubsampling)
}

/** Bytes that a line of a plane needs at least, as `drm_format_info_min_pitch`. Exact for what a driver can have. */
export function leastStride(format: PixelFormat, plane: number, width: number): number {
  const { bytesPerBlock, blockWidth, blockHeight } = planeOf(format, plane)
  return Math.ceil((planeWidth(format, plane, width) * bytesPerBlock) / (blockWidth * blockHeight))
}

function planeOf(format: PixelFormat, plane: number): PlaneFormat {
  const found = format.planes[plane]
  if (found !== undefined) return found
  throw problem('argument', {
    what: 'plane',
    expected: `one of the ${format.planes.length} planes of ${format.fourcc}`,
    received: shown(plane),
  })
}
