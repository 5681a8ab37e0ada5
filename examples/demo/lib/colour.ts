import { BYTES_PER_PIXEL, frameBytes, type Size } from './picture.ts'

export type Chroma = '420jpeg' | '444'
/** `limited` keeps luma in 16 to 235, as video does; `full` uses all of 0 to 255, as JPEG does. */
export type ColourRange = 'limited' | 'full'

/** BT.601: the shares of red and of blue in luma. */
const KR = 0.299
const KB = 0.114
const KG = 1 - KR - KB

const scales = {
  limited: { floor: 16, luma: 219 / 255, chroma: 224 / 255 },
  full: { floor: 0, luma: 1, chroma: 1 },
}

/** How many chroma samples a plane has in each direction; an odd picture side is rounded up. */
export function chromaSize({ width, height }: Size, chroma: Chroma): Size {
  return chroma === '444' ? { width, height } : { width: (width + 1) >> 1, height: (height + 1) >> 1 }
}

/** Bytes of the three planes Y, Cb, Cr one behind the other. */
export function planesBytes(size: Size, chroma: Chroma): number {
  const part = chromaSize(size, chroma)
  return size.width * size.height + 2 * part.width * part.height
}

/** Fills `rgba` from the planes Y, Cb and Cr. Every chroma sample covers its whole block of pixels. */
export function planesToRgba(
  planes: Uint8Array,
  rgba: Uint8Array,
  size: Size,
  chroma: Chroma,
  range: ColourRange = 'limited',
): void {
  checkLengths(planes, rgba, size, chroma)
  const scale = scales[range]
  const part = chromaSize(size, chroma)
  const shift = chroma === '444' ? 0 : 1
  const cbPlane = size.width * size.height
  const crPlane = cbPlane + part.width * part.height
  // A clamped array rounds and cuts at 0 and 255 by itself.
  const out = new Uint8ClampedArray(rgba.buffer, rgba.byteOffset, rgba.byteLength)
  let at = 0
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++, at += BYTES_PER_PIXEL) {
      const sample = (y >> shift) * part.width + (x >> shift)
      const luma = (planes[y * size.width + x]! - scale.floor) / scale.luma
      const cb = (planes[cbPlane + sample]! - 128) / scale.chroma
      const cr = (planes[crPlane + sample]! - 128) / scale.chroma
      out[at] = luma + 2 * (1 - KR) * cr
      out[at + 1] = luma - ((2 * KB * (1 - KB)) / KG) * cb - ((2 * KR * (1 - KR)) / KG) * cr
      out[at + 2] = luma + 2 * (1 - KB) * cb
      out[at + 3] = 255
    }
  }
}

/** Fills the planes Y, Cb and Cr from `rgba`; alpha is left out. A chroma sample is its block's average. */
export function rgbaToPlanes(rgba: Uint8Array, planes: Uint8Array, size: Size, chroma: Chroma): void {
  checkLengths(planes, rgba, size, chroma)
  const scale = scales.limited
  const part = chromaSize(size, chroma)
  const block = chroma === '444' ? 1 : 2
  const cbPlane = size.width * size.height
  const crPlane = cbPlane + part.width * part.height
  const out = new Uint8ClampedArray(planes.buffer, planes.byteOffset, planes.byteLength)
  for (let row = 0; row < part.height; row++) {
    for (let column = 0; column < part.width; column++) {
      let [red, green, blue, count] = [0, 0, 0, 0]
      const [bottom, right] = [
        Math.min(size.height, (row + 1) * block),
        Math.min(size.width, (column + 1) * block),
      ]
      for (let y = row * block; y < bottom; y++) {
        for (let x = column * block; x < right; x++, count++) {
          const at = y * size.width + x
          const [r, g, b] = [rgba[at * 4]!, rgba[at * 4 + 1]!, rgba[at * 4 + 2]!]
          out[at] = scale.floor + scale.luma * (KR * r + KG * g + KB * b)
          red += r
          green += g
          blue += b
        }
      }
      const luma = KR * red + KG * green + KB * blue
      const sample = row * part.width + column
      out[cbPlane + sample] = 128 + (scale.chroma * (blue - luma)) / (2 * (1 - KB) * count)
      out[crPlane + sample] = 128 + (scale.chroma * (red - luma)) / (2 * (1 - KR) * count)
    }
  }
}

function checkLengths(planes: Uint8Array, rgba: Uint8Array, size: Size, chroma: Chroma): void {
  if (planes.byteLength !== planesBytes(size, chroma) || rgba.byteLength !== frameBytes(size)) {
    throw new RangeError(
      `${planes.byteLength} and ${rgba.byteLength} bytes are no ${size.width}x${size.height} picture`,
    )
  }
}
