import type { Refusal } from './constraints.ts'
import type { Device } from './device.ts'

/** An image as a device is asked to take it. */
export interface DeviceImage {
  /** Four characters, as in drm_fourcc.h: `'NV12'`, `'XR24'`. */
  readonly fourcc: string
  /** Format modifier; 0n is linear. */
  readonly modifier: bigint
  /** Pixels. */
  readonly width: number
  readonly height: number
  readonly planes: readonly DeviceImagePlane[]
}

export interface DeviceImagePlane {
  /** Bytes from the start of the plane's buffer. */
  readonly offset: number
  /** Bytes from one row to the next. */
  readonly stride: number
  /** Bytes of the plane's buffer. */
  readonly byteLength: number
  /** Rows of this plane, where it is subsampled; the height of the image. */
  readonly rows?: number
  /** Bytes of a row that hold pixels; the stride. */
  readonly rowBytes?: number
}

/**
 * The first rule of a device that an image breaks, as its driver would answer EINVAL to ADDFB2 without a word
 * (drivers/gpu/drm/drm_framebuffer.c, drm_gem_framebuffer_helper.c): `'modifier'` for a format or modifier that the device
 * does not know, `'stride'`, and `'size'` where the buffer ends before the rows that the device touches.
 */
export function checkImageFor(device: Device, image: DeviceImage): Refusal | undefined {
  return checkFormat(device, image) ?? checkPlanes(device, image)
}

function checkFormat({ image: rules }: Device, { fourcc, modifier }: DeviceImage): Refusal | undefined {
  const { formats, modifiers } = rules
  if (formats !== undefined && !formats.includes(fourcc)) {
    return { rule: 'modifier', needed: `a format of ${formats.join(', ')}`, got: fourcc }
  }
  if (modifiers.includes(modifier)) return undefined
  return {
    rule: 'modifier',
    needed: `a modifier of ${modifiers.map(shown).join(', ')}`,
    got: shown(modifier),
  }
}

function shown(modifier: bigint): string {
  return modifier === 0n ? 'linear' : `0x${modifier.toString(16)}`
}

function checkPlanes({ image: rules }: Device, { height, planes }: DeviceImage): Refusal | undefined {
  const { strideAlignment, heightAlignment, minStride, maxStride } = rules
  for (const [i, plane] of planes.entries()) {
    const { offset, stride, byteLength, rows = height, rowBytes = stride } = plane
    const where = planes.length === 1 ? '' : ` in plane ${i}`
    const broken = (needed: string): Refusal => ({
      rule: 'stride',
      needed,
      got: `${stride} bytes${where}`,
    })
    if (stride % strideAlignment !== 0) return broken(`a multiple of ${strideAlignment} bytes`)
    if (stride < Math.max(minStride, rowBytes)) {
      return broken(`at least ${Math.max(minStride, rowBytes)} bytes`)
    }
    if (stride > maxStride) return broken(`at most ${maxStride} bytes`)
    // Of the last row only the pixels must be there, unless the device goes on to a height of its own.
    const touched = Math.ceil(rows / heightAlignment) * heightAlignment
    const end = offset + (touched === rows ? (rows - 1) * stride + rowBytes : touched * stride)
    if (end > byteLength) {
      return { rule: 'size', needed: `${end} bytes for ${touched} rows`, got: `${byteLength} bytes${where}` }
    }
  }
  return undefined
}
