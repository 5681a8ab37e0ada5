import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  bitsPerPixel,
  fourccToNumber,
  fourccToString,
  leastStride,
  modifiers,
  pixelFormat,
  planeHeight,
  planeWidth,
} from '../../src/dma/fourcc.ts'
import { pixelFormats } from '../../src/dma/pixel-formats.ts'
import { codeNow } from '../support/fails.ts'

const anyFormat = fc.constantFrom(...pixelFormats.values())

describe('a fourcc', () => {
  test.each([
    ['XR24', 0x3432_5258],
    ['NV12', 0x3231_564e],
    ['R8', 0x2020_3852],
    ['R10', 0x2030_3152],
  ])('%s is the number of drm_fourcc.h', (name, code) => {
    expect(fourccToNumber(name)).toBe(code)
    expect(fourccToString(code)).toBe(name.padEnd(4))
  })

  test('is the same after a round trip through its number', () => {
    const character = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code))
    fc.assert(
      fc.property(fc.string({ unit: character, minLength: 4, maxLength: 4 }), (name) => {
        expect(fourccToString(fourccToNumber(name))).toBe(name)
      }),
    )
  })

  test.each(['', 'XR245', 'XR2\0', 'ÄR24', 7, undefined, null])('cannot be %j', (name) => {
    expect(codeNow(() => fourccToNumber(name as string))).toBe('EINVAL')
  })

  test.each([-1, 2 ** 32, 1.5, 0, Number.NaN, 'XR24'])('cannot be the number %j', (code) => {
    expect(codeNow(() => fourccToString(code as number))).toBe('EINVAL')
  })

  test('that is well formed but not known has no format', () => {
    expect(codeNow(() => pixelFormat('ZZZZ'))).toBe('EINVAL')
    expect(codeNow(() => pixelFormat(0x1234_5678))).toBe('EINVAL')
  })
})

describe('a pixel format', () => {
  test('is found by name, by short name and by number', () => {
    expect(pixelFormat('NV12')).toBe(pixelFormat(0x3231_564e))
    expect(pixelFormat('R8')).toBe(pixelFormat('R8  '))
  })

  test('stands in the table under its own number', () => {
    for (const [code, format] of pixelFormats) {
      expect(fourccToNumber(format.fourcc)).toBe(code)
      expect(format.code).toBe(code)
    }
  })

  test.each([
    // Bits for each pixel of each plane, depth, planes, and whether it has alpha, as drm_fourcc.c has them.
    ['XR24', [32], 24, false, false],
    ['AR24', [32], 32, true, false],
    ['XB24', [32], 24, false, false],
    ['RG16', [16], 16, false, false],
    ['RG24', [24], 24, false, false],
    ['AR15', [16], 15, true, false],
    ['XR30', [32], 30, false, false],
    ['R8', [8], 8, false, false],
    ['C1', [1], 1, false, false],
    ['C4', [4], 4, false, false],
    ['R8A8', [24, 8], 32, true, false],
    ['NV12', [8, 16], 0, false, true],
    ['NV21', [8, 16], 0, false, true],
    ['NV16', [8, 16], 0, false, true],
    ['YU12', [8, 8, 8], 0, false, true],
    ['YV12', [8, 8, 8], 0, false, true],
    ['YUYV', [16], 0, false, true],
    ['P010', [16, 32], 0, false, true],
    ['NV15', [10, 20], 0, false, true],
    ['AYUV', [32], 0, true, true],
    ['X0L2', [16], 0, false, true],
  ] as const)('%s has %j bits for each pixel', (name, bits, depth, alpha, yuv) => {
    const format = pixelFormat(name)
    expect(format.planes.map((_, plane) => bitsPerPixel(format, plane))).toEqual(bits)
    expect(format).toMatchObject({ depth, alpha, yuv })
  })

  test('says how large its planes are', () => {
    const format = pixelFormat('NV12')
    expect([planeWidth(format, 0, 641), planeWidth(format, 1, 641)]).toEqual([641, 321])
    expect([planeHeight(format, 0, 481), planeHeight(format, 1, 481)]).toEqual([481, 241])
    expect([leastStride(format, 0, 641), leastStride(format, 1, 641)]).toEqual([641, 642])
    expect(codeNow(() => leastStride(format, 2, 641))).toBe('EINVAL')
  })

  test('needs a line that has room for its bits', () => {
    fc.assert(
      fc.property(anyFormat, fc.integer({ min: 1, max: 2 ** 32 - 1 }), (format, width) => {
        for (const plane of format.planes.keys()) {
          const bits =
            BigInt(planeWidth(format, plane, width)) * BigInt(format.planes[plane]!.bytesPerBlock) * 8n
          const pixels = BigInt(format.planes[plane]!.blockWidth * format.planes[plane]!.blockHeight)
          const least = (bits + pixels * 8n - 1n) / (pixels * 8n)
          expect(BigInt(leastStride(format, plane, width))).toBe(least)
        }
      }),
    )
  })
})

test('modifiers are those of drm_fourcc.h', () => {
  expect(modifiers).toEqual({ linear: 0n, invalid: 2n ** 56n - 1n })
})
