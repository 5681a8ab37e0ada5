import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Chroma,
  chromaSize,
  planesBytes,
  planesToRgba,
  rgbaToPlanes,
} from '../../examples/demo/lib/colour.ts'
import { alphabet, drawText, GLYPH_HEIGHT, GLYPH_WIDTH, textWidth } from '../../examples/demo/lib/font.ts'
import { applyLens, lensPlace } from '../../examples/demo/lib/lens.ts'
import { checksum, frameBytes } from '../../examples/demo/lib/picture.ts'
import { drawTestCard } from '../../examples/demo/lib/test-card.ts'

const card = (width: number, height: number, frame: number) => {
  const bytes = new Uint8Array(frameBytes({ width, height }))
  drawTestCard(bytes, { width, height }, frame)
  return bytes
}
const chromas = fc.constantFrom<Chroma>('420jpeg', '444')
const side = fc.integer({ min: 1, max: 24 })

describe('test card', () => {
  test('depends on its arguments only, and every frame differs from the one before', () => {
    expect(card(320, 180, 7)).toEqual(card(320, 180, 7))
    for (let frame = 1; frame < 40; frame++)
      expect(checksum(card(64, 48, frame))).not.toBe(checksum(card(64, 48, frame - 1)))
  })

  test('fills every pixel, opaque, at any size', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 1, max: 90 }),
        fc.nat(),
        (width, height, frame) => {
          const bytes = card(width, height, frame)
          for (let at = 3; at < bytes.length; at += 4) if (bytes[at] !== 255) return false
          return true
        },
      ),
      { numRuns: 50 },
    )
  })

  test('shows the colour bars where they belong', () => {
    const bytes = card(1280, 720, 0)
    const pixel = (x: number, y: number) => [...bytes.subarray((y * 1280 + x) * 4, (y * 1280 + x) * 4 + 3)]
    expect(pixel(450, 230)).toEqual([235, 235, 16])
    expect(pixel(545, 230)).toEqual([16, 235, 235])
    expect(pixel(640, 230)).toEqual([16, 235, 16])
    expect(pixel(830, 230)).toEqual([235, 16, 16])
  })
})

describe('font', () => {
  test('every letter but the space has ink of its own', () => {
    const drawn = alphabet.map((letter) => {
      const pixels = new Uint32Array(GLYPH_WIDTH * GLYPH_HEIGHT)
      drawText(pixels, { width: GLYPH_WIDTH, height: GLYPH_HEIGHT }, letter, {
        left: 0,
        top: 0,
        scale: 1,
        ink: 1,
      })
      return pixels.join('')
    })
    expect(new Set(drawn).size).toBe(alphabet.length)
    expect(drawn.filter((dots) => !dots.includes('1'))).toHaveLength(1)
  })

  test('draws the dots of a known letter, scaled', () => {
    const size = { width: 10, height: 14 }
    const pixels = new Uint32Array(140)
    drawText(pixels, size, 't', { left: 0, top: 0, scale: 2, ink: 7 })
    expect([...pixels.subarray(0, 10)]).toEqual(Array(10).fill(7))
    expect([...pixels.subarray(130)]).toEqual([0, 0, 0, 0, 7, 7, 0, 0, 0, 0])
    expect(textWidth('ABC', 2)).toBe(34)
  })

  test('never writes outside the picture, and refuses letters it lacks', () => {
    const guard = new Uint32Array(300).fill(9)
    drawText(guard.subarray(100, 200), { width: 10, height: 10 }, 'WWW', {
      left: -8,
      top: -3,
      scale: 3,
      ink: 1,
    })
    expect(guard.subarray(0, 100).every((pixel) => pixel === 9)).toBe(true)
    expect(guard.subarray(200).every((pixel) => pixel === 9)).toBe(true)
    expect(() =>
      drawText(guard, { width: 10, height: 10 }, '\u20ac', { left: 0, top: 0, scale: 1, ink: 1 }),
    ).toThrow('no "\u20ac"')
  })
})

describe('lens', () => {
  test('in place and into a second buffer give the same; carried bytes are told', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 60 }),
        fc.nat(5000),
        (width, height, frame) => {
          const size = { width, height }
          const from = card(width, height, frame)
          const [inPlace, second] = [from.slice(), new Uint8Array(from.length)]
          expect(applyLens(inPlace, inPlace, size, frame)).toBe(0)
          expect(applyLens(from, second, size, frame)).toBe(from.length)
          expect(second).toEqual(inPlace)
        },
      ),
    )
  })

  test('stays within the picture and moves', () => {
    const size = { width: 320, height: 180 }
    for (let frame = 0; frame < 1000; frame++) {
      const { x, y, radius } = lensPlace(size, frame)
      expect(Math.min(x, y) - radius).toBeGreaterThanOrEqual(0)
      expect(x + radius).toBeLessThan(size.width)
      expect(y + radius).toBeLessThan(size.height)
    }
    expect(lensPlace(size, 1)).not.toEqual(lensPlace(size, 0))
  })
})

describe('colour', () => {
  test('known colours by BT.601', () => {
    const planes = new Uint8Array(3)
    const convert = (...pixel: number[]) => {
      rgbaToPlanes(Uint8Array.of(...pixel, 255), planes, { width: 1, height: 1 }, '444')
      return [...planes]
    }
    expect(convert(255, 255, 255)).toEqual([235, 128, 128])
    expect(convert(0, 0, 0)).toEqual([16, 128, 128])
    expect(convert(255, 0, 0)).toEqual([81, 90, 240])
    expect(convert(0, 255, 0)).toEqual([145, 54, 34])
    expect(convert(0, 0, 255)).toEqual([41, 240, 110])
  })

  test('there and back within rounding: every pixel with 4:4:4, a flat picture with 4:2:0', () => {
    const colour = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255))
    fc.assert(
      fc.property(
        side,
        side,
        chromas,
        fc.array(colour, { minLength: 1, maxLength: 30 }),
        (width, height, chroma, colours) => {
          const size = { width, height }
          const palette = chroma === '444' ? colours : colours.slice(0, 1)
          const rgba = new Uint8Array(frameBytes(size))
          for (let at = 0; at < width * height; at++)
            rgba.set([...palette[at % palette.length]!, 255], at * 4)
          const planes = new Uint8Array(planesBytes(size, chroma))
          rgbaToPlanes(rgba, planes, size, chroma)
          const back = new Uint8Array(rgba.length)
          planesToRgba(planes, back, size, chroma)
          return back.every((value, at) => Math.abs(value - rgba[at]!) <= 2)
        },
      ),
    )
  })

  test('full range and odd sizes', () => {
    expect(chromaSize({ width: 5, height: 3 }, '420jpeg')).toEqual({ width: 3, height: 2 })
    const rgba = new Uint8Array(4)
    planesToRgba(Uint8Array.of(255, 128, 128), rgba, { width: 1, height: 1 }, '420jpeg', 'full')
    expect([...rgba]).toEqual([255, 255, 255, 255])
    expect(() => planesToRgba(new Uint8Array(2), rgba, { width: 1, height: 1 }, '444')).toThrow(RangeError)
  })
})
