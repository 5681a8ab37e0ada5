/** The size of a picture in pixels. Every frame of the demo is `width * height` pixels of R, G, B, A bytes. */
export type Size = { width: number; height: number }

/** What the stages must know of the film before its first frame. A type, so that it can be sent as a message. */
export type Film = Size & {
  /** How many frames will come; null when only the end of the file tells. */
  frames: number | null
  /** Frames per second as a fraction, as Y4M writes it. */
  rate: [numerator: number, denominator: number]
  /** How a Y4M file made of this film stores colour. */
  chroma: '420jpeg' | '444'
}

export const BYTES_PER_PIXEL = 4

export const sideLimit = 8192

export function frameBytes({ width, height }: Size): number {
  return width * height * BYTES_PER_PIXEL
}

/** Refuses sizes that a hostile header or a slip of the finger may ask for. */
export function checkSize({ width, height }: Size, what: string): void {
  for (const side of [width, height]) {
    if (!Number.isInteger(side) || side < 1 || side > sideLimit) {
      throw new RangeError(`${what}: ${width}x${height} is not a size from 1x1 to ${sideLimit}x${sideLimit}`)
    }
  }
}

/** The same bytes as whole pixels, four times as quick to fill. */
export function asPixels(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / BYTES_PER_PIXEL)
}

/** An opaque colour as one pixel, in the byte order of this machine. */
export function rgb(red: number, green: number, blue: number): number {
  return asPixels(Uint8Array.of(red, green, blue, 255))[0]!
}

/** Fletcher-like sum over every pixel: tells whether two films are the same without keeping either. */
export function checksum(bytes: Uint8Array, before = 1): number {
  let a = before & 0xffff
  let b = before >>> 16
  for (const pixel of asPixels(bytes)) {
    a = (a + (pixel & 0xffff) + (pixel >>> 16)) % 65521
    b = (b + a) % 65521
  }
  return ((b << 16) | a) >>> 0
}
