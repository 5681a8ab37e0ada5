import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { modifiers } from '../../src/dma/fourcc.ts'
import { pixelFormats } from '../../src/dma/pixel-formats.ts'
import { planeLayout } from '../../src/dma/plane-layout.ts'
import type { DmaBuf } from '../../src/dmabuf/dmabuf.ts'
import { checkImage, type ImageDescription, type ImageLimits, imageRefusal } from '../../src/dmabuf/image.ts'
import { SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, failure } from '../support/fails.ts'

const PAGE = 4096
const heap = new SystemHeap()
let buffer: DmaBuf

useCensus()
beforeEach(() => {
  buffer = heap.allocateSync(PAGE)
})
afterEach(() => buffer.close())

function image(change: Partial<ImageDescription> = {}): ImageDescription {
  const planes = [{ buffer, offset: 0, stride: 128 }]
  return { width: 32, height: 32, fourcc: 'XR24', modifier: modifiers.linear, planes, ...change }
}

/** The same with another place for its one plane. */
function placed(offset: number, stride: number, change: Partial<ImageDescription> = {}) {
  return image({ planes: [{ buffer, offset, stride }], ...change })
}

describe('an image', () => {
  test('that fits exactly is taken', () => {
    expect(checkImage(image()).fourcc).toBe('XR24')
  })

  test('may leave out what would follow its last line', () => {
    // 31 strides of 132 bytes and one line of 4 fit where 32 strides do not.
    const tall = placed(0, 132, { width: 1, height: 32 })
    expect(imageRefusal(tall)).toBeUndefined()
    expect(imageRefusal(placed(PAGE - 31 * 132 - 3, 132, { width: 1 }))).toMatchObject({ rule: 'size' })
  })

  test('laid out by planeLayout fits into that many bytes, and nowhere behind them', () => {
    const linear = [...pixelFormats.values()].filter(({ planes }) => planes.every((p) => p.bytesPerBlock > 0))
    const limits = fc.record({
      strideAlignment: fc.integer({ min: 1, max: 256 }),
      heightAlignment: fc.integer({ min: 1, max: 16 }),
    })
    fc.assert(
      fc.property(
        fc.constantFrom(...linear.map(({ fourcc }) => fourcc)),
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 64 }),
        limits,
        (fourcc, width, height, asked) => {
          const layout = planeLayout({ fourcc, width, height, ...asked })
          using memory = heap.allocateSync(layout.byteLength)
          const laidOut = { width, height, fourcc, modifier: 0n }
          const planes = layout.planes.map(({ offset, stride }) => ({ buffer: memory, offset, stride }))
          expect(imageRefusal({ ...laidOut, planes }, asked)).toBeUndefined()
          const last = planes.length - 1
          const beyond = planes.map((plane, index) =>
            index === last ? { ...plane, offset: plane.offset + layout.planes[index]!.byteLength } : plane,
          )
          expect(imageRefusal({ ...laidOut, planes: beyond }, asked)).toMatchObject({
            rule: 'size',
            plane: last,
          })
        },
      ),
      { numRuns: 50 },
    )
  })
})

test.each<[string, (image: ImageDescription) => Partial<ImageDescription>, ImageLimits, object]>([
  ['a stride too short', () => placed(0, 127), {}, { rule: 'stride', needed: 'at least 128', got: '127' }],
  [
    'a stride that is not aligned',
    () => placed(0, 128),
    { strideAlignment: 256 },
    { rule: 'stride', needed: 'a multiple of 256', got: '128' },
  ],
  ['an offset beyond', () => placed(1, 128), {}, { rule: 'size', needed: '4097 bytes', got: '4096 bytes' }],
  ['too many lines', () => ({ height: 33 }), {}, { rule: 'size', needed: '4224 bytes', got: '4096 bytes' }],
  [
    'too many lines once they are aligned',
    () => ({ height: 17 }),
    { heightAlignment: 64 },
    { rule: 'size', needed: '8192 bytes', got: '4096 bytes' },
  ],
  [
    'sums beyond exact numbers',
    () => placed(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    {},
    { rule: 'size' },
  ],
  [
    'a modifier that nobody reads',
    () => ({ modifier: 0x0100_0000_0000_0001n }),
    {},
    { rule: 'modifier', got: '0x100000000000001' },
  ],
  [
    'no modifier where one is asked for',
    () => ({ modifier: modifiers.invalid }),
    { modifiers: [0n] },
    { rule: 'modifier', needed: '0x0', got: '0xffffffffffffff' },
  ],
  ['a format without linear layout', () => ({ fourcc: 'YU08' }), {}, { rule: 'modifier' }],
])('an image with %s is refused with rule, needed and got', async (_, change, limits, expected) => {
  const base = image()
  const error = await failure(() => checkImage({ ...base, ...change(base) }, limits))
  expect(error).toMatchObject({ code: 'EINVAL', ...expected })
})

test('an image of which nobody said the modifier is linear by default', () => {
  expect(imageRefusal(image({ modifier: modifiers.invalid }))).toBeUndefined()
})

test('the modifiers that are understood can be named', () => {
  const tiled = 0x0100_0000_0000_0001n
  expect(imageRefusal(image({ modifier: tiled }), { modifiers: [tiled] })).toBeUndefined()
})

test('planes in several buffers are checked against their own', async () => {
  using chroma = heap.allocateSync(128)
  const planes = [
    { buffer, offset: 0, stride: 64 },
    { buffer: chroma, offset: 0, stride: 64 },
  ]
  const nv12 = image({ fourcc: 'NV12', width: 64, height: 64, planes })
  expect((await failure(() => checkImage(nv12))).message).toContain('plane 1 of the NV12 image of 64 by 64')
  expect(imageRefusal({ ...nv12, height: 4 })).toBeUndefined()
})

test.each<[string, unknown]>([
  ['no image', undefined],
  ['text', 'XR24'],
  ['an unknown format', { fourcc: 'ZZZZ' }],
  ['no width', { width: 0 }],
  ['half a line', { height: 1.5 }],
  ['a modifier that is a number', { modifier: 0 }],
  ['no planes', { planes: [] }],
  ['planes that are none', { planes: { length: 1 } }],
  ['too many planes', { planes: [1, 2] }],
  ['a plane without a buffer', { planes: [{ offset: 0, stride: 128 }] }],
  ['a plane before its buffer', { planes: 'before' }],
])('%s is EINVAL', (_, change) => {
  let wrong = change
  if (typeof change === 'object') wrong = { ...image(), ...change }
  if (typeof wrong === 'object' && (wrong as ImageDescription).planes === ('before' as unknown)) {
    wrong = placed(-1, 128)
  }
  expect(codeNow(() => checkImage(wrong as ImageDescription))).toBe('EINVAL')
})

test('limits that are misspelled or impossible are EINVAL', () => {
  expect(codeNow(() => checkImage(image(), { strideAligment: 4 } as ImageLimits))).toBe('EINVAL')
  expect(codeNow(() => checkImage(image(), { strideAlignment: 0 }))).toBe('EINVAL')
  expect(codeNow(() => checkImage(image(), { heightAlignment: -1 }))).toBe('EINVAL')
})

test('an image in a closed buffer is EBADF', () => {
  const closed = heap.allocateSync(PAGE)
  closed.close()
  expect(codeNow(() => checkImage(image({ planes: [{ buffer: closed, offset: 0, stride: 128 }] })))).toBe(
    'EBADF',
  )
})
