import type { Size } from './picture.ts'

export const GLYPH_WIDTH = 5
export const GLYPH_HEIGHT = 7

/** Seven rows of five dots each: `#` is ink. Kept as pictures, so that a wrong dot is seen in review. */
const drawings: Record<string, string> = {
  '0': '.###. #...# #..## #.#.# ##..# #...# .###.',
  '1': '..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.',
  '2': '.###. #...# ....# ...#. ..#.. .#... #####',
  '3': '##### ...#. ..#.. ...#. ....# #...# .###.',
  '4': '...#. ..##. .#.#. #..#. ##### ...#. ...#.',
  '5': '##### #.... ####. ....# ....# #...# .###.',
  '6': '..##. .#... #.... ####. #...# #...# .###.',
  '7': '##### ....# ...#. ..#.. .#... .#... .#...',
  '8': '.###. #...# #...# .###. #...# #...# .###.',
  '9': '.###. #...# #...# .#### ....# ...#. .##..',
  A: '.###. #...# #...# ##### #...# #...# #...#',
  B: '####. #...# #...# ####. #...# #...# ####.',
  C: '.###. #...# #.... #.... #.... #...# .###.',
  D: '####. #...# #...# #...# #...# #...# ####.',
  E: '##### #.... #.... ####. #.... #.... #####',
  F: '##### #.... #.... ####. #.... #.... #....',
  G: '.###. #...# #.... #.### #...# #...# .####',
  H: '#...# #...# #...# ##### #...# #...# #...#',
  I: '.###. ..#.. ..#.. ..#.. ..#.. ..#.. .###.',
  J: '..### ...#. ...#. ...#. ...#. #..#. .##..',
  K: '#...# #..#. #.#.. ##... #.#.. #..#. #...#',
  L: '#.... #.... #.... #.... #.... #.... #####',
  M: '#...# ##.## #.#.# #.#.# #...# #...# #...#',
  N: '#...# #...# ##..# #.#.# #..## #...# #...#',
  O: '.###. #...# #...# #...# #...# #...# .###.',
  P: '####. #...# #...# ####. #.... #.... #....',
  Q: '.###. #...# #...# #...# #.#.# #..#. .##.#',
  R: '####. #...# #...# ####. #.#.. #..#. #...#',
  S: '.#### #.... #.... .###. ....# ....# ####.',
  T: '##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..',
  U: '#...# #...# #...# #...# #...# #...# .###.',
  V: '#...# #...# #...# #...# #...# .#.#. ..#..',
  W: '#...# #...# #...# #.#.# #.#.# #.#.# .#.#.',
  X: '#...# #...# .#.#. ..#.. .#.#. #...# #...#',
  Y: '#...# #...# #...# .#.#. ..#.. ..#.. ..#..',
  Z: '##### ....# ...#. ..#.. .#... #.... #####',
  '-': '..... ..... ..... ##### ..... ..... .....',
  '.': '..... ..... ..... ..... ..... .##.. .##..',
  ':': '..... .##.. .##.. ..... .##.. .##.. .....',
  '/': '..... ....# ...#. ..#.. .#... #.... .....',
  ' ': '..... ..... ..... ..... ..... ..... .....',
}

const glyphs = new Map(
  Object.entries(drawings).map(([letter, drawing]) => [
    letter,
    drawing.split(' ').map((row) => [...row].map((dot) => dot === '#')),
  ]),
)

export const alphabet: readonly string[] = [...glyphs.keys()]

/** How wide `text` is drawn at `scale` dots a dot: one empty column between letters. */
export function textWidth(text: string, scale: number): number {
  return Math.max(0, text.length * (GLYPH_WIDTH + 1) - 1) * scale
}

/** Draws `text` with its top left corner at (`left`, `top`), cut at the edges. Lower case is drawn as upper case. */
export function drawText(
  pixels: Uint32Array,
  { width, height }: Size,
  text: string,
  { left, top, scale, ink }: { left: number; top: number; scale: number; ink: number },
): void {
  let x = left
  for (const letter of text.toUpperCase()) {
    const glyph = glyphs.get(letter)
    if (!glyph) throw new RangeError(`the font has no ${JSON.stringify(letter)}`)
    for (let row = 0; row < GLYPH_HEIGHT * scale; row++) {
      const y = top + row
      if (y < 0 || y >= height) continue
      const dots = glyph[Math.floor(row / scale)]!
      for (let column = 0; column < GLYPH_WIDTH * scale; column++) {
        const at = x + column
        if (at >= 0 && at < width && dots[Math.floor(column / scale)]) pixels[y * width + at] = ink
      }
    }
    x += (GLYPH_WIDTH + 1) * scale
  }
}
