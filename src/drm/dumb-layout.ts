import { problem } from '../internal/errors.ts'
import { integer } from '../internal/validate.ts'

const MOST = 2 ** 32 - 1

export interface DumbRequest {
  /** In pixels. */
  readonly width: number
  readonly height: number
  /** Bits of memory for each pixel: 32 for XR24, 16 for RG16; 8 for the planes of NV12, which are laid out by the caller. */
  readonly bpp: number
}

export interface DumbLayout {
  /** Bytes from one line to the next. */
  readonly pitch: number
  /** Bytes, in whole pages. */
  readonly size: number
}

/**
 * Pitch and size of a dumb buffer, as `drm_mode_create_dumb()` and `drm_gem_shmem_dumb_create()` have them: lines of whole
 * bytes, all numbers of 32 bits. `EINVAL` for zeros and for what is larger.
 */
export function dumbLayout(request: DumbRequest, pitchAlignment: number, pageSize: number): DumbLayout {
  const width = integer('width', request.width, 1, MOST)
  const height = integer('height', request.height, 1, MOST)
  const bpp = integer('bpp', request.bpp, 1, MOST)
  const tooLarge = () => problem('dumbSize', { width, height, bpp })
  // The kernel counts whole bytes for each pixel here, and the exact bits below.
  const line = Math.ceil(bpp / 8) * width
  if (line > MOST || line * height > MOST) throw tooLarge()
  const pitch = alignUp(Math.ceil((width * bpp) / 8), pitchAlignment)
  const size = alignUp(pitch * height, pageSize)
  if (pitch > MOST || size > MOST) throw tooLarge()
  return { pitch, size }
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}
