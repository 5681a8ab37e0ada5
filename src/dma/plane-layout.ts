import { problem } from '../internal/errors.ts'
import { integer, options } from '../internal/validate.ts'
import { pixelFormat, planeHeight, planeWidth } from './fourcc.ts'
import type { PixelFormat } from './pixel-formats.ts'

/** Width and height are 32 bits wide in every ioctl. */
const MOST_PIXELS = 2 ** 32 - 1
/** Nothing asks for more than huge pages do. */
const MOST_ALIGNMENT = 2 ** 30

export interface PlaneLayoutRequest {
  readonly fourcc: string | number
  /** In pixels. */
  readonly width: number
  readonly height: number
  /** Every stride is a multiple of so many bytes; 1. */
  readonly strideAlignment?: number
  /** The lines of the first plane are made up to a multiple of this, and those of the others in proportion; 1. */
  readonly heightAlignment?: number
}

export interface LaidOutPlane {
  /** First byte of the plane. */
  readonly offset: number
  /** Bytes from one line to the next. */
  readonly stride: number
  readonly byteLength: number
}

export interface PlaneLayout {
  readonly format: PixelFormat
  readonly planes: readonly LaidOutPlane[]
  /** Bytes of all planes. */
  readonly byteLength: number
}

const requestOptions = ['fourcc', 'width', 'height', 'strideAlignment', 'heightAlignment'] as const

/**
 * Lays the planes of a linear image out one behind the other. A line is whole blocks (and whole pairs, in YUYV and its
 * like), so that no pixel lies across its end. `ERANGE` where the bytes could no more be counted exactly.
 */
export function planeLayout(request: PlaneLayoutRequest): PlaneLayout {
  const opts = options('planeLayout', request, requestOptions)
  const format = pixelFormat(opts.fourcc as string | number)
  const width = integer('width', opts.width, 1, MOST_PIXELS)
  const height = integer('height', opts.height, 1, MOST_PIXELS)
  const strideAlignment = integer('strideAlignment', opts.strideAlignment ?? 1, 1, MOST_ALIGNMENT)
  const heightAlignment = integer('heightAlignment', opts.heightAlignment ?? 1, 1, MOST_ALIGNMENT)
  const alignedHeight = alignUp(height, heightAlignment)
  let offset = 0
  const planes = format.planes.map(({ bytesPerBlock, blockWidth, blockHeight }, index) => {
    if (bytesPerBlock === 0) throw problem('noLinearLayout', { fourcc: format.fourcc })
    // In a single plane the subsampled channels lie between the others.
    const pixels =
      format.planes.length === 1
        ? alignUp(width, format.horizontalSubsampling)
        : planeWidth(format, index, width)
    // A block of several lines counts for each of them.
    const bytes = (Math.ceil(pixels / blockWidth) * bytesPerBlock) / blockHeight
    const stride = alignUp(bytes, strideAlignment)
    const lines = alignUp(planeHeight(format, index, alignedHeight), blockHeight)
    const byteLength = stride * lines
    const plane = { offset, stride, byteLength }
    offset += byteLength
    if (!Number.isSafeInteger(offset)) throw problem('imageRange', { width, height, fourcc: format.fourcc })
    return plane
  })
  return { format, planes, byteLength: offset }
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}
