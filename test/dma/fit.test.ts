import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type DmaConstraints, type Segment, unconstrained } from '../../src/dma/constraints.ts'
import { coalesce, fitSegments, longestSegment, trimmed } from '../../src/dma/fit.ts'
import { anyConstraints, anySegments, runsOf } from './constraints.ts'

const PAGE = 4096
const runs = { numRuns: 1000 }

function device(constraints: Partial<DmaConstraints>): DmaConstraints {
  return { ...unconstrained, ...constraints }
}

/** Segments where there are some, and nothing where there was a refusal. */
function fitted(segments: readonly Segment[], constraints: DmaConstraints): Segment[] | undefined {
  const result = fitSegments(segments, constraints)
  return 'rule' in result ? undefined : result
}

describe('memory that fits', () => {
  test('is the same bytes in the same order', () => {
    fc.assert(
      fc.property(anySegments, anyConstraints, (segments, constraints) => {
        const pieces = fitted(segments, constraints)
        if (pieces !== undefined) expect(runsOf(pieces)).toEqual(runsOf(segments))
      }),
      runs,
    )
  })

  test('obeys every rule of the device', () => {
    fc.assert(
      fc.property(anySegments, anyConstraints, (segments, constraints) => {
        const pieces = fitted(segments, constraints) ?? []
        expect(pieces.length).toBeLessThanOrEqual(constraints.maxSegments)
        for (const [i, { address, length }] of pieces.entries()) {
          const last = address + length - 1
          expect(BigInt(last) <= constraints.dmaMask).toBe(true)
          expect(length).toBeLessThanOrEqual(constraints.maxSegmentSize)
          expect(BigInt(address) / (constraints.segmentBoundaryMask + 1n)).toBe(
            BigInt(last) / (constraints.segmentBoundaryMask + 1n),
          )
          if (i < pieces.length - 1) expect(length).toBeGreaterThanOrEqual(constraints.minSegmentSize)
        }
      }),
      runs,
    )
  })

  test('has only its first segment begin and its last one end inside a page', () => {
    fc.assert(
      fc.property(anySegments, anyConstraints, (segments, constraints) => {
        const pieces = fitted(segments, constraints) ?? []
        for (const { address } of pieces.slice(1)) expect(address % PAGE).toBe(0)
        for (const { address, length } of pieces.slice(0, -1)) expect((address + length) % PAGE).toBe(0)
      }),
      runs,
    )
  })

  test('fits again, unchanged', () => {
    fc.assert(
      fc.property(anySegments, anyConstraints, (segments, constraints) => {
        const pieces = fitted(segments, constraints)
        if (pieces !== undefined) expect(fitSegments(pieces, constraints)).toEqual(pieces)
      }),
      runs,
    )
  })
})

test('pieces are as long as they can be, unless the last would be too short then', () => {
  const lengths = (constraints: Partial<DmaConstraints>) =>
    fitted([{ address: 0, length: 9 * PAGE }], device(constraints))?.map(({ length }) => length / PAGE)
  expect(lengths({ maxSegmentSize: 4 * PAGE })).toEqual([4, 4, 1])
  expect(lengths({ maxSegmentSize: 4 * PAGE, minSegmentSize: 2 * PAGE })).toEqual([4, 3, 2])
  expect(lengths({ maxSegmentSize: 4 * PAGE, minSegmentSize: 4 * PAGE })).toEqual([4, 4, 1])
})

test('memory is refused only where no way of cutting it at pages would do', () => {
  fc.assert(
    fc.property(anySegments, anyConstraints, (segments, constraints) => {
      const fits = fitted(segments, constraints) !== undefined
      expect(fits).toBe(fewestSegments(segments, constraints) <= constraints.maxSegments)
    }),
    runs,
  )
})

/** The fewest segments by trying every cut, and Infinity where none are allowed. */
function fewestSegments(segments: readonly Segment[], constraints: DmaConstraints): number {
  const all = runsOf(segments)
  const allowed = (from: number, to: number, isLast: boolean) =>
    to - from <= constraints.maxSegmentSize &&
    (isLast || to - from >= constraints.minSegmentSize) &&
    BigInt(to - 1) <= constraints.dmaMask &&
    BigInt(from) / (constraints.segmentBoundaryMask + 1n) ===
      BigInt(to - 1) / (constraints.segmentBoundaryMask + 1n)
  // A segment longer than whole pages can be is not made, as in the kernel's table builder.
  const most = longestSegment(constraints)
  let sum = 0
  for (const [i, { address, length }] of all.entries()) {
    const end = address + length
    const ends: number[] = []
    for (let at = (Math.floor(address / PAGE) + 1) * PAGE; at < end; at += PAGE) ends.push(at)
    ends.push(end)
    const fewest = new Map([[address, 0]])
    for (const to of ends) {
      for (const [from, count] of [...fewest]) {
        if (to - from > most || !allowed(from, to, i === all.length - 1 && to === end)) continue
        fewest.set(to, Math.min(fewest.get(to) ?? Number.POSITIVE_INFINITY, count + 1))
      }
    }
    sum += fewest.get(end) ?? Number.POSITIVE_INFINITY
  }
  return sum
}

describe('a refusal says the rule, what it needs and what was there', () => {
  const scattered = [0, 2, 4].map((page) => ({ address: page * PAGE, length: PAGE }))

  test('contiguous: scattered pages for a device that wants one segment', () => {
    expect(fitSegments(scattered, device({ maxSegments: 1 }))).toEqual({
      rule: 'contiguous',
      needed: '1 segment',
      got: '3 segments',
    })
  })

  test('segment-count: more runs than the device takes', () => {
    expect(fitSegments(scattered, device({ maxSegments: 2 }))).toEqual({
      rule: 'segment-count',
      needed: 'at most 2 segments',
      got: '3 segments',
    })
  })

  test('segment-size: one run that a contiguous-only device would have to cut', () => {
    const run = [{ address: 0, length: 1 << 20 }]
    expect(fitSegments(run, device({ maxSegments: 1, maxSegmentSize: 65_535 }))).toEqual({
      rule: 'segment-size',
      needed: '1 segment of at most 61440 bytes',
      got: '1048576 bytes',
    })
  })

  test('segment-size: a run shorter than the device can take, unless it is the last', () => {
    const runs = [
      { address: 0x10_0000, length: PAGE },
      { address: 0x20_0000, length: 4 * PAGE },
    ]
    expect(fitSegments(runs, device({ minSegmentSize: 2 * PAGE }))).toEqual({
      rule: 'segment-size',
      needed: 'at least 8192 bytes in every segment but the last',
      got: '4096 bytes at 0x10_0000',
    })
    expect(fitSegments(runs.toReversed(), device({ minSegmentSize: 2 * PAGE }))).toHaveLength(2)
  })

  test('boundary: one run across a boundary for a contiguous-only device', () => {
    const run = [{ address: 0x1_8000, length: 0x1_0000 }]
    expect(fitSegments(run, device({ maxSegments: 1, segmentBoundaryMask: 0xffffn }))).toEqual({
      rule: 'boundary',
      needed: '1 segment that crosses no multiple of 0x1_0000',
      got: '0x1_8000 to 0x2_8000',
    })
  })

  test('address-range: the first address that the device does not reach', () => {
    const mask = device({ dmaMask: 0xffff_ffffn })
    const far = { address: 0x1_2345_6000, length: PAGE }
    const across = { address: 0xffff_f000, length: 2 * PAGE }
    const needed = 'addresses up to 0xffff_ffff'
    expect(fitSegments([far], mask)).toEqual({ rule: 'address-range', needed, got: '0x1_2345_6000' })
    expect(fitSegments([across], mask)).toEqual({ rule: 'address-range', needed, got: '0x1_0000_0000' })
    expect(fitSegments([{ ...across, length: PAGE }], mask)).toHaveLength(1)
  })
})

describe('coalesced constraints', () => {
  const all = fc.array(anyConstraints, { minLength: 1, maxLength: 4 })

  test('stand for memory that suits every device', () => {
    fc.assert(
      fc.property(anySegments, all, (segments, list) => {
        const together = coalesce(list)
        if (together === undefined || fitted(segments, together) === undefined) return
        for (const one of list) expect(fitSegments(segments, one)).not.toHaveProperty('rule')
      }),
      runs,
    )
  })

  test('do not depend on the order', () => {
    fc.assert(
      fc.property(all, (list) => {
        expect(coalesce(list)).toEqual(coalesce(list.toReversed()))
      }),
      runs,
    )
  })

  test('of one device are its own, and of none are none', () => {
    const one = device({ dmaMask: 0xffff_ffffn, maxSegments: 7, minSegmentSize: 512 })
    expect(coalesce([one])).toEqual(one)
    expect(coalesce([])).toEqual(unconstrained)
  })

  test('are missing where no memory suits everybody', () => {
    const long = device({ minSegmentSize: 1 << 20 })
    expect(coalesce([long, device({ maxSegmentSize: 1 << 16 })])).toBeUndefined()
    expect(coalesce([long, device({ segmentBoundaryMask: 0xffffn })])).toBeUndefined()
    const few = [device({ maxSegments: 4 }), device({ maxSegmentSize: 1 << 16 })]
    expect(coalesce(few, 4 << 16)).toBeDefined()
    expect(coalesce(few, (4 << 16) + 1)).toBeUndefined()
    const near = [device({ dmaMask: 0xff_ffffn })]
    expect(coalesce(near, 1 << 24)).toBeDefined()
    expect(coalesce(near, (1 << 24) + 1)).toBeUndefined()
  })
})

test('a buffer in the middle of its pages is cut out of them', () => {
  const pages = [0x1000, 0x5000, 0x9000].map((address) => ({ address, length: PAGE }))
  expect(trimmed(pages, 100, 2 * PAGE)).toEqual([
    { address: 0x1064, length: PAGE - 100 },
    { address: 0x5000, length: PAGE },
    { address: 0x9000, length: 100 },
  ])
  expect(trimmed(pages, PAGE, 10)).toEqual([{ address: 0x5000, length: 10 }])
})
