import { BYTES_PER_PIXEL, type Size } from './picture.ts'

/** From 0 to `end` and back again, for ever. */
function bounce(distance: number, end: number): number {
  if (end <= 0) return 0
  const place = distance % (2 * end)
  return place <= end ? place : 2 * end - place
}

/** Where the lens is in a frame: a disc that travels through the picture and rebounds from its edges. */
export function lensPlace({ width, height }: Size, frame: number) {
  const radius = Math.max(1, Math.floor(Math.min(width, height) / 5))
  const rim = Math.max(1, Math.floor(radius / 24))
  const step = Math.max(1, Math.floor(Math.min(width, height) / 90))
  return {
    x: radius + bounce(frame * step, width - 1 - 2 * radius),
    y: radius + bounce(frame * step, height - 1 - 2 * radius),
    radius,
    rim,
  }
}

/**
 * What the filter does: colours turn into their negative under a round lens with a white rim. `from` and `to`
 * may be the same bytes. Returns how many bytes had to be carried over unchanged, which is the price of a
 * second buffer: none in place, the whole picture otherwise.
 */
export function applyLens(from: Uint8Array, to: Uint8Array, size: Size, frame: number): number {
  const carried = from === to ? 0 : from.byteLength
  if (carried > 0) to.set(from)
  const { x, y, radius, rim } = lensPlace(size, frame)
  const glass = (radius - rim) ** 2
  for (let row = Math.max(0, y - radius); row <= Math.min(size.height - 1, y + radius); row++) {
    const half = Math.floor(Math.sqrt(radius ** 2 - (row - y) ** 2))
    const last = Math.min(size.width - 1, x + half)
    for (let column = Math.max(0, x - half); column <= last; column++) {
      const at = (row * size.width + column) * BYTES_PER_PIXEL
      const inside = (column - x) ** 2 + (row - y) ** 2 <= glass
      for (let channel = at; channel < at + 3; channel++) to[channel] = inside ? 255 - to[channel]! : 255
    }
  }
  return carried
}
