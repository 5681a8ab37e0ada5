import fc from 'fast-check'
import { expect, test } from 'vitest'
import { leastStride, pixelFormat, planeHeight } from '../../src/dma/fourcc.ts'
import { pixelFormats } from '../../src/dma/pixel-formats.ts'
import { planeLayout } from '../../src/dma/plane-layout.ts'
import { codeNow } from '../support/fails.ts'

const linear = [...pixelFormats.values()].filter(({ planes }) =>
  planes.every((plane) => plane.bytesPerBlock > 0),
)

const request = fc.record({
  fourcc: fc.constantFrom(...linear.map(({ fourcc }) => fourcc)),
  width: fc.integer({ min: 1, max: 2 ** 16 }),
  height: fc.integer({ min: 1, max: 2 ** 16 }),
  strideAlignment: fc.integer({ min: 1, max: 4096 }),
  heightAlignment: fc.integer({ min: 1, max: 128 }),
})

test('the planes lie one behind the other and make up the whole', () => {
  fc.assert(
    fc.property(request, (wanted) => {
      const { planes, byteLength } = planeLayout(wanted)
      let end = 0
      for (const plane of planes) {
        expect(plane.offset).toBe(end)
        end += plane.byteLength
      }
      expect(end).toBe(byteLength)
    }),
  )
})

test('every stride is aligned and has room for a line, every plane for its lines', () => {
  fc.assert(
    fc.property(request, (wanted) => {
      const { format, planes } = planeLayout(wanted)
      expect(planes.length).toBe(format.planes.length)
      for (const [index, { stride, byteLength }] of planes.entries()) {
        expect(stride % wanted.strideAlignment).toBe(0)
        expect(stride).toBeGreaterThanOrEqual(leastStride(format, index, wanted.width))
        expect(byteLength % stride).toBe(0)
        expect(byteLength / stride).toBeGreaterThanOrEqual(planeHeight(format, index, wanted.height))
      }
      expect((planes[0]!.byteLength / planes[0]!.stride) % wanted.heightAlignment).toBeLessThan(
        format.planes[0]!.blockHeight,
      )
    }),
  )
})

test('a whole number of blocks wastes nothing without alignment', () => {
  fc.assert(
    fc.property(request, ({ fourcc, width, height }) => {
      const format = pixelFormat(fourcc)
      // 24 and 12: multiples of every block and subsampling that there is.
      const { planes } = planeLayout({ fourcc, width: width * 24, height: height * 12 })
      for (const [index, { stride }] of planes.entries()) {
        expect(stride).toBe(leastStride(format, index, width * 24))
      }
    }),
  )
})

test.each([
  ['XR24', 100, 10, [[0, 400, 4000]]],
  ['RG16', 3, 2, [[0, 6, 12]]],
  ['R8', 7, 3, [[0, 7, 21]]],
  ['C1', 9, 2, [[0, 2, 4]]],
  [
    'NV12',
    641,
    481,
    [
      [0, 641, 641 * 481],
      [641 * 481, 642, 642 * 241],
    ],
  ],
  [
    'YU12',
    5,
    5,
    [
      [0, 5, 25],
      [25, 3, 9],
      [34, 3, 9],
    ],
  ],
  // Pixels come in pairs.
  ['YUYV', 5, 2, [[0, 12, 24]]],
  // Four pixels in five bytes.
  [
    'NV15',
    5,
    2,
    [
      [0, 10, 20],
      [20, 10, 10],
    ],
  ],
] as const)('%s of %i by %i', (fourcc, width, height, expected) => {
  const { planes } = planeLayout({ fourcc, width, height })
  expect(planes.map(({ offset, stride, byteLength }) => [offset, stride, byteLength])).toEqual(expected)
})

test('alignments of stride and height are those of a decoder', () => {
  const layout = planeLayout({
    fourcc: 'NV12',
    width: 1920,
    height: 1080,
    strideAlignment: 256,
    heightAlignment: 16,
  })
  expect(layout.planes).toEqual([
    { offset: 0, stride: 2048, byteLength: 2048 * 1088 },
    { offset: 2048 * 1088, stride: 2048, byteLength: 2048 * 544 },
  ])
  expect(layout.byteLength).toBe(2048 * 1632)
})

test('sizes beyond exact numbers are ERANGE, never a wrong number', () => {
  const most = 2 ** 32 - 1
  expect(codeNow(() => planeLayout({ fourcc: 'XR48', width: most, height: most }))).toBe('ERANGE')
  fc.assert(
    fc.property(
      fc.constantFrom(...linear.map(({ fourcc }) => fourcc)),
      fc.integer({ min: 1, max: most }),
      fc.integer({ min: 1, max: most }),
      (fourcc, width, height) => {
        try {
          const { planes, byteLength } = planeLayout({ fourcc, width, height })
          const exact = planes.reduce(
            (sum, { stride, byteLength: bytes }) => sum + BigInt(stride) * BigInt(bytes / stride),
            0n,
          )
          expect(BigInt(byteLength)).toBe(exact)
          expect(Number.isSafeInteger(byteLength)).toBe(true)
        } catch (error) {
          expect((error as NodeJS.ErrnoException).code).toBe('ERANGE')
        }
      },
    ),
  )
})

test.each([
  [{ fourcc: 'XR24', width: 0, height: 1 }, 'EINVAL'],
  [{ fourcc: 'XR24', width: 1, height: -1 }, 'EINVAL'],
  [{ fourcc: 'XR24', width: 2 ** 32, height: 1 }, 'EINVAL'],
  [{ fourcc: 'XR24', width: 1, height: 1, strideAlignment: 0 }, 'EINVAL'],
  [{ fourcc: 'XR24', width: 1, height: 1, heightAlignment: 1.5 }, 'EINVAL'],
  [{ fourcc: 'XR24', width: 1, height: 1, strideAligment: 4 }, 'EINVAL'],
  [{ fourcc: 'nope', width: 1, height: 1 }, 'EINVAL'],
  // Only a modifier says how these lie in memory.
  [{ fourcc: 'YU08', width: 16, height: 16 }, 'EINVAL'],
  [undefined, 'EINVAL'],
])('%j is refused', (wanted, code) => {
  expect(codeNow(() => planeLayout(wanted as Parameters<typeof planeLayout>[0]))).toBe(code)
})
