import { drawText, GLYPH_HEIGHT, textWidth } from './font.ts'
import { asPixels, rgb, type Size } from './picture.ts'

const black = rgb(16, 16, 16)
const white = rgb(235, 235, 235)
const paper = rgb(72, 76, 84)
const line = rgb(176, 180, 188)
const bars = [
  rgb(235, 235, 235),
  rgb(235, 235, 16),
  rgb(16, 235, 235),
  rgb(16, 235, 16),
  rgb(235, 16, 235),
  rgb(235, 16, 16),
  rgb(16, 16, 235),
]
const greys = Array.from({ length: 11 }, (_, step) => rgb(step * 25, step * 25, step * 25))

/** One turn of a sine as grey values, and one turn around the colour wheel: no `sin` for each pixel. */
const wave = Uint32Array.from({ length: 256 }, (_, step) => {
  const grey = Math.round(125.5 + 109.5 * Math.sin((step / 256) * 2 * Math.PI))
  return rgb(grey, grey, grey)
})
const rainbow = Uint32Array.from({ length: 256 }, (_, step) => {
  const channel = (shift: number) =>
    Math.round(125.5 + 109.5 * Math.cos(((step / 256) * 3 - shift) * ((2 * Math.PI) / 3)))
  return rgb(channel(0), channel(1), channel(2))
})

/** What is drawn inside the circle: bands from top to bottom, each up to a part of the diameter. */
const bands = [
  { until: 0.2, draw: titleBand },
  { until: 0.4, draw: barsBand },
  { until: 0.66, draw: zoneBand },
  { until: 0.74, draw: greysBand },
  { until: 0.82, draw: rainbowBand },
  { until: 1, draw: counterBand },
]

type Row = { pixels: Uint32Array; start: number; from: number; to: number; left: number; side: number }

/**
 * Draws frame `frame` of the test card into `bytes`: a grid, and a circle of colour bars, moving rings, greys, a
 * travelling rainbow and the frame's number. Everything is drawn straight into the frame and depends on nothing
 * but the arguments, so that a viewer (and a test) can tell whether the right frame came out at the other end.
 */
export function drawTestCard(bytes: Uint8Array, size: Size, frame: number): void {
  const { width, height } = size
  const pixels = asPixels(bytes)
  drawGrid(pixels, size)
  drawSweep(pixels, size, frame)

  const radius = Math.floor(Math.min(width, height) * 0.46)
  const [left, top] = [Math.floor(width / 2) - radius, Math.floor(height / 2) - radius]
  const side = 2 * radius
  for (let y = 0; y < side; y++) {
    const half = Math.floor(Math.sqrt(radius ** 2 - (y - radius + 0.5) ** 2))
    const start = (top + y) * width
    const row = { pixels, start, from: left + radius - half, to: left + radius + half, left, side }
    bands.find(({ until }) => y < until * side)!.draw(row, y, frame)
  }

  const scale = Math.max(1, Math.floor(side / 130))
  const write = (text: string, part: number, times: number, ink: number) =>
    drawText(pixels, size, text, {
      left: Math.floor((width - textWidth(text, times)) / 2),
      top: top + Math.floor(part * side - (GLYPH_HEIGHT * times) / 2),
      scale: times,
      ink,
    })
  write('DMABUF', 0.115, Math.max(1, Math.floor(scale * 1.6)), black)
  write(`FRAME ${String(frame).padStart(6, '0')}`, 0.89, scale, white)
}

function drawGrid(pixels: Uint32Array, { width, height }: Size): void {
  const cell = Math.max(4, Math.floor(height / 14))
  const thick = Math.max(1, Math.floor(height / 360))
  // Centred, so that the grid is cut alike at both sides.
  const [shiftX, shiftY] = [Math.floor(width / 2) % cell, Math.floor(height / 2) % cell]
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * width, (y + 1) * width)
    const rowInCell = (y - shiftY + cell) % cell
    row.fill(rowInCell < thick ? line : paper)
    for (let x = shiftX - cell; x < width; x += cell) row.fill(line, Math.max(0, x), Math.max(0, x + thick))
    if (y < cell / 2 || y >= height - cell / 2) {
      // Teeth along the upper and lower edge show at once when a row was cut off.
      for (let x = 0; x < width; x++)
        row[x] = Math.floor((x - shiftX + cell) / cell) % 2 === 0 ? black : white
    }
  }
}

/** A bright line that runs from left to right with a fading tail: shows dropped and repeated frames. */
function drawSweep(pixels: Uint32Array, { width, height }: Size, frame: number): void {
  const tail = Math.max(2, Math.floor(width / 10))
  const step = Math.max(1, Math.floor(width / 160))
  const head = (frame * step) % width
  for (let back = 0; back < tail; back++) {
    const x = (head - back + width) % width
    const part = 1 - back / tail
    const ink = rgb(72 + 183 * part, 76 + 140 * part, 84 - 20 * part)
    for (let y = 0; y < height; y++) {
      const at = y * width + x
      if (pixels[at] === paper) pixels[at] = ink
    }
  }
}

function titleBand({ pixels, start, from, to, side }: Row, y: number): void {
  // A black rule below, because the first of the bars is white too.
  pixels.fill(y < 0.19 * side ? white : black, start + from, start + to)
}

function counterBand({ pixels, start, from, to }: Row): void {
  pixels.fill(black, start + from, start + to)
}

function steps({ pixels, start, from, to, left, side }: Row, inks: readonly number[]): void {
  inks.forEach((ink, step) => {
    const first = Math.max(from, left + Math.floor((side * step) / inks.length))
    const end = Math.min(to, left + Math.floor((side * (step + 1)) / inks.length))
    if (first < end) pixels.fill(ink, start + first, start + end)
  })
}

function barsBand(row: Row): void {
  steps(row, bars)
}

function greysBand(row: Row): void {
  steps(row, greys)
}

/** A zone plate: the phase grows with the square of the distance, so that rings get finer and finer outwards. */
function zoneBand({ pixels, start, from, to, left, side }: Row, y: number, frame: number): void {
  const dy = y - 0.53 * side
  // At the rim, where the distance is half a side, a ring is about five pixels wide.
  const bend = 52 / side
  for (let x = from; x < to; x++) {
    const dx = x - left - side / 2
    pixels[start + x] = wave[((dx * dx + dy * dy) * bend - frame * 6) & 255]!
  }
}

function rainbowBand({ pixels, start, from, to, left, side }: Row, _y: number, frame: number): void {
  for (let x = from; x < to; x++) {
    pixels[start + x] = rainbow[(((x - left) * 512) / side + frame * 3) & 255]!
  }
}
