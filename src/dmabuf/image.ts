import type { Refusal } from '../dma/constraints.ts'
import { leastStride, modifiers, pixelFormat, planeHeight } from '../dma/fourcc.ts'
import type { DeviceImagePlane } from '../dma/image-rules.ts'
import type { PixelFormat } from '../dma/pixel-formats.ts'
import { type DmaBufError, problem } from '../internal/errors.ts'
import { integer, options, shown } from '../internal/validate.ts'
import { coreOf, type DmaBuf } from './dmabuf.ts'

/** Where a plane of an image lies. */
export interface ImagePlane {
  /** Several planes may lie in one buffer. */
  readonly buffer: DmaBuf
  /** First byte of the plane in the buffer. */
  readonly offset: number
  /** Bytes from one line to the next. */
  readonly stride: number
}

/** What an image is, apart from where it lies. */
export interface ImageShape<Plane> {
  /** In pixels. */
  readonly width: number
  readonly height: number
  /** Four characters, as in include/uapi/drm/drm_fourcc.h. */
  readonly fourcc: string
  /** `modifiers.linear` (0n) for lines one behind the other. */
  readonly modifier: bigint
  /** As many as the format has. */
  readonly planes: readonly Plane[]
}

/** An image in shared memory, as every part of this library takes it. The buffers stay their owner's. */
export interface ImageDescription extends ImageShape<ImagePlane> {}

/** An image in anything that has a size: a `DmaBuf`, a GEM object. */
export type MeasuredImage = ImageShape<{
  readonly buffer: { readonly byteLength: number }
  readonly offset: number
  readonly stride: number
}>

/** What somebody asks of images beyond fitting into their buffers. */
export interface ImageLimits {
  /** Strides must be multiples of so many bytes; 1. */
  readonly strideAlignment?: number
  /** Whoever uses the image touches whole multiples of so many lines, and the buffers must have them; 1. */
  readonly heightAlignment?: number
  /** The modifiers that are understood; linear images, and those of which nobody said, when left out. */
  readonly modifiers?: readonly bigint[]
}

/** What is wrong with an image, and with which of its planes. */
export interface ImageRefusal extends Refusal {
  readonly plane: number
}

const limitOptions = ['strideAlignment', 'heightAlignment', 'modifiers'] as const
const MOST_ALIGNMENT = 2 ** 30
const MOST_PIXELS = 2 ** 32 - 1
const plain: readonly bigint[] = [modifiers.linear, modifiers.invalid]

/**
 * Checks an image against the real sizes of its buffers, by the rules of `drm_gem_fb_init_with_funcs()`
 * (drivers/gpu/drm/drm_gem_framebuffer_helper.c): lines long enough, the last one inside the buffer. Throws `EINVAL` with
 * `rule`, `needed` and `got`; `EBADF` for a closed buffer. Returns the format.
 */
export function checkImage(image: ImageDescription, limits?: ImageLimits): PixelFormat {
  const format = checkImageShape(image, (plane, index) => {
    coreOf(plane?.buffer)
    integer(`the offset of plane ${index}`, plane.offset, 0)
    integer(`the stride of plane ${index}`, plane.stride, 0)
  })
  const refusal = imageRefusal(image, limits)
  if (refusal !== undefined) throw imageProblem(image, refusal)
  return format
}

/** What must be there before any rule can be looked at; planes are checked by the caller's own function. */
export function checkImageShape<Plane>(
  image: ImageShape<Plane>,
  checkPlane: (plane: Plane, index: number) => void,
): PixelFormat {
  if (typeof image !== 'object' || image === null) throw wrong('an image', 'an object', image)
  const format = pixelFormat(image.fourcc)
  integer('width', image.width, 1, MOST_PIXELS)
  integer('height', image.height, 1, MOST_PIXELS)
  if (typeof image.modifier !== 'bigint') throw wrong('modifier', 'a bigint', image.modifier)
  const count = format.planes.length
  const planes: unknown = image.planes
  if (!Array.isArray(planes) || planes.length !== count) {
    throw wrong(`the planes of ${format.fourcc}`, `an array of ${count}`, planes)
  }
  for (const [index, plane] of image.planes.entries()) checkPlane(plane, index)
  return format
}

/** The first rule that an image breaks; nothing when it suits. */
export function imageRefusal(image: MeasuredImage, limits?: ImageLimits): ImageRefusal | undefined {
  const opts = options('checkImage', limits, limitOptions)
  const strideAlignment = integer('strideAlignment', opts.strideAlignment ?? 1, 1, MOST_ALIGNMENT)
  const heightAlignment = integer('heightAlignment', opts.heightAlignment ?? 1, 1, MOST_ALIGNMENT)
  const understood = opts.modifiers ?? plain
  const format = pixelFormat(image.fourcc)
  if (!understood.includes(image.modifier)) {
    const needed = understood.map(hexadecimal).join(' or ') || 'none'
    return { plane: 0, rule: 'modifier', needed, got: hexadecimal(image.modifier) }
  }
  const height = Math.ceil(image.height / heightAlignment) * heightAlignment
  for (const [plane, { buffer, offset, stride }] of image.planes.entries()) {
    if (format.planes[plane]?.bytesPerBlock === 0 && plain.includes(image.modifier)) {
      const needed = `a modifier that says how ${format.fourcc} lies in memory`
      return { plane, rule: 'modifier', needed, got: hexadecimal(image.modifier) }
    }
    const line = leastStride(format, plane, image.width)
    if (stride < line) return { plane, rule: 'stride', needed: `at least ${line}`, got: String(stride) }
    if (stride % strideAlignment !== 0) {
      return { plane, rule: 'stride', needed: `a multiple of ${strideAlignment}`, got: String(stride) }
    }
    // The last line ends with its pixels. A sum that is too large to be exact is too large for every buffer.
    const end = offset + (planeHeight(format, plane, height) - 1) * stride + line
    if (end > buffer.byteLength) {
      return { plane, rule: 'size', needed: `${end} bytes`, got: `${buffer.byteLength} bytes` }
    }
  }
  return undefined
}

/** The error for a refusal. */
export function imageProblem(image: MeasuredImage, { plane, ...refusal }: ImageRefusal): DmaBufError {
  const { fourcc, width, height } = image
  return problem('image', { plane, fourcc, width, height, ...refusal }, { refusal })
}

/** The planes as the rules of a device are asked about them: `checkImageFor`. */
export function devicePlanes(image: MeasuredImage): DeviceImagePlane[] {
  const format = pixelFormat(image.fourcc)
  return image.planes.map(({ buffer, offset, stride }, plane) => ({
    offset,
    stride,
    byteLength: buffer.byteLength,
    rows: planeHeight(format, plane, image.height),
    rowBytes: leastStride(format, plane, image.width),
  }))
}

function wrong(what: string, expected: string, received: unknown): DmaBufError {
  return problem('argument', { what, expected, received: shown(received) })
}

function hexadecimal(modifier: bigint): string {
  return `0x${modifier.toString(16)}`
}
