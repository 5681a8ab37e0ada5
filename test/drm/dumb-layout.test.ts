import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dumbLayout } from '../../src/drm/dumb-layout.ts'
import { codeNow } from '../support/fails.ts'

const PAGE = 4096
const MOST = 2 ** 32 - 1

const layout = (width: number, height: number, bpp: number, alignment = 1) =>
  dumbLayout({ width, height, bpp }, alignment, PAGE)

describe('the layout of a dumb buffer', () => {
  test.each([
    // DR-04
    [100, 10, 32, 1, 400, 4096],
    [640, 480, 32, 1, 2560, 1228800],
    [3, 1, 16, 1, 6, 4096],
    // Lines are whole bytes.
    [3, 1, 12, 1, 5, 4096],
    [1, 1, 1, 1, 1, 4096],
    [9, 2, 1, 1, 2, 4096],
    [100, 10, 32, 256, 512, 8192],
    [64, 1, 32, 256, 256, 4096],
    // Not a power of two either.
    [100, 1, 8, 48, 144, 4096],
  ])(
    '%i by %i with %i bits, aligned to %i, has a pitch of %i and a size of %i',
    (w, h, bpp, align, pitch, size) => {
      expect(layout(w, h, bpp, align)).toEqual({ pitch, size })
    },
  )

  test.each([
    // DR-02
    [0, 1, 32],
    [1, 0, 32],
    [1, 1, 0],
    [-1, 1, 32],
    [1.5, 1, 32],
    [Number.NaN, 1, 32],
    [2 ** 32, 1, 32],
    // DR-03
    [MOST, MOST, MOST],
    [2 ** 16, 2 ** 16, 32],
    [2 ** 30, 1, 32],
    [2 ** 31, 1, 16],
    [1, 2 ** 32 - 1, 16],
    // It would be 2^32 with whole pages.
    [MOST, 1, 8],
  ])('%d by %d with %d bits is EINVAL', (width, height, bpp) => {
    expect(codeNow(() => layout(width, height, bpp))).toBe('EINVAL')
  })

  test('is EINVAL where only the alignment of the pitch is too much', () => {
    expect(layout(1, 2 ** 20, 8)).toEqual({ pitch: 1, size: 2 ** 20 })
    expect(codeNow(() => layout(1, 2 ** 20, 8, 4096))).toBe('EINVAL')
  })

  test('has room for every line, in 32 bits, and nothing more than alignment asks for', () => {
    const dimension = fc.integer({ min: 1, max: 2 ** 17 })
    const alignment = fc.integer({ min: 1, max: 4096 })
    fc.assert(
      fc.property(
        dimension,
        dimension,
        fc.integer({ min: 1, max: 128 }),
        alignment,
        (width, height, bpp, align) => {
          let found: { pitch: number; size: number }
          try {
            found = layout(width, height, bpp, align)
          } catch {
            const bytes = (Math.ceil(bpp / 8) * width + align) * height + PAGE
            expect(bytes).toBeGreaterThan(MOST)
            return
          }
          const { pitch, size } = found
          expect(pitch % align).toBe(0)
          expect(pitch * 8).toBeGreaterThanOrEqual(width * bpp)
          expect((pitch - align) * 8).toBeLessThan(width * bpp)
          expect(size % PAGE).toBe(0)
          expect(size).toBeGreaterThanOrEqual(pitch * height)
          expect(size - PAGE).toBeLessThan(pitch * height)
          expect(size).toBeLessThanOrEqual(MOST)
        },
      ),
    )
  })
})
