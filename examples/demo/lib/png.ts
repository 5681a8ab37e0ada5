import { convertIndexedToRgb, decode, encode } from 'fast-png'
import { BYTES_PER_PIXEL, checkSize, frameBytes, type Size } from './picture.ts'

export type Picture = Size & { rgba: Uint8Array }

/** No PNG of a size that we take is larger, however badly it is packed. */
export const pngFileLimit = 600 * 1024 * 1024

const INDEXED_COLOUR = 3
const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

/** Decodes a PNG of any kind into R, G, B, A bytes. */
export function readPng(file: Uint8Array, what: string): Picture {
  if (file.byteLength < 33 || signature.some((byte, at) => file[at] !== byte))
    throw new TypeError(`${what} is no PNG file`)
  // The decoder allocates what the header claims: look at the claim first.
  const header = new DataView(file.buffer, file.byteOffset, 33)
  checkSize({ width: header.getUint32(16), height: header.getUint32(20) }, what)
  try {
    return toRgba(decode(file, { checkCrc: true }), file[25] === INDEXED_COLOUR)
  } catch (cause) {
    throw new TypeError(`${what} is a damaged PNG file: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  }
}

/** Encodes private bytes: what others can still write to must be copied before it comes here. */
export function writePng({ width, height, rgba }: Picture): Uint8Array {
  return encode({ width, height, data: rgba, channels: 4, depth: 8 })
}

type Decoded = ReturnType<typeof decode>

function toRgba(image: Decoded, indexed: boolean): Picture {
  const { width, height } = image
  const { samples, channels } = wholeSamples(image, indexed)
  if (samples.length !== width * height * channels) throw new RangeError('its size and its data do not agree')
  const toByte =
    image.depth === 16 ? (sample: number) => Math.round(sample / 257) : (sample: number) => sample
  // A colour that stands for "see-through", in files without an alpha channel.
  const key = indexed ? undefined : image.transparency
  const colours = channels < 3 ? 1 : 3
  const rgba = new Uint8Array(frameBytes({ width, height }))
  for (let from = 0, to = 0; from < samples.length; from += channels, to += BYTES_PER_PIXEL) {
    let seeThrough = key !== undefined
    for (let colour = 0; colour < 3; colour++) {
      const channel = colour % colours
      const sample = samples[from + channel]!
      if (sample !== key?.[channel]) seeThrough = false
      rgba[to + colour] = toByte(sample)
    }
    rgba[to + 3] = channels > colours ? toByte(samples[from + colours]!) : seeThrough ? 0 : 255
  }
  return { width, height, rgba }
}

/** One array element for each sample: palettes are looked up and packed greys unpacked. */
function wholeSamples(image: Decoded, indexed: boolean): { samples: ArrayLike<number>; channels: number } {
  if (indexed) return { samples: convertIndexedToRgb(image), channels: image.palette?.[0]?.length ?? 0 }
  if (image.depth >= 8) return { samples: image.data, channels: image.channels }
  // Two, four or sixteen greys in parts of bytes are unpacked as if they were a palette of greys.
  const most = 2 ** image.depth - 1
  const grey = (step: number) => [Math.round((step * 255) / most)]
  const samples = convertIndexedToRgb({
    ...image,
    palette: Array.from({ length: most + 1 }, (_, step) => grey(step)),
  })
  if (image.transparency) image.transparency = image.transparency.map((step) => grey(step)[0]!)
  return { samples, channels: 1 }
}
