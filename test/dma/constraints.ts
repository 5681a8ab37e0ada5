import fc from 'fast-check'
import type { DmaConstraints, Segment } from '../../src/dma/constraints.ts'
import { longestSegment } from '../../src/dma/fit.ts'

const PAGE = 4096

/** A device's constraints, narrow enough to matter for the memory of {@link anySegments}. */
export const anyConstraints: fc.Arbitrary<DmaConstraints> = fc
  .record({
    dmaMask: fc.constantFrom(0xf_ffffn, 0xff_ffffn, 0xffff_ffffn, 2n ** 64n - 1n),
    maxSegmentSize: fc.oneof(fc.integer({ min: PAGE, max: 20 * PAGE }), fc.constant(Number.MAX_SAFE_INTEGER)),
    segmentBoundaryMask: fc.constantFrom(0xfffn, 0x3fffn, 0xffffn, 0xf_ffffn, 2n ** 64n - 1n),
    maxSegments: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(Number.MAX_SAFE_INTEGER)),
    shortness: fc.integer({ min: 0, max: 99 }),
  })
  .map(({ shortness, ...rest }) => {
    const longest = Math.min(longestSegment({ ...rest, minSegmentSize: 1 }), 20 * PAGE)
    return { ...rest, minSegmentSize: shortness < 40 ? 1 : Math.ceil((longest * shortness) / 99) }
  })

/** Pages, some of them neighbours, of which the first and the last may be used in part only. */
export const anySegments: fc.Arbitrary<Segment[]> = fc
  .record({
    runs: fc.array(fc.record({ gap: fc.nat(3), pages: fc.integer({ min: 1, max: 30 }) }), {
      minLength: 1,
      maxLength: 6,
    }),
    start: fc.nat(300),
    skip: fc.oneof(fc.constant(0), fc.nat(PAGE - 1)),
    short: fc.oneof(fc.constant(0), fc.nat(PAGE - 1)),
    backwards: fc.boolean(),
  })
  .map(({ runs, start, skip, short, backwards }) => {
    let page = start
    const segments = runs.map(({ gap, pages }) => {
      page += gap
      const segment = { address: page * PAGE, length: pages * PAGE }
      page += pages
      return segment
    })
    if (backwards) segments.reverse()
    const first = segments[0]!
    segments[0] = { address: first.address + skip, length: first.length - skip }
    const last = segments.at(-1)!
    segments[segments.length - 1] = { ...last, length: Math.max(1, last.length - short) }
    return segments
  })

/** The segments as runs, neighbours joined. */
export function runsOf(segments: readonly Segment[]): Segment[] {
  const runs: Segment[] = []
  for (const { address, length } of segments) {
    const last = runs.at(-1)
    if (last === undefined || last.address + last.length !== address) runs.push({ address, length })
    else runs.splice(-1, 1, { address: last.address, length: last.length + length })
  }
  return runs
}

/** The address of a byte of the memory that these segments are. */
export function addressOf(segments: readonly Segment[], byte: number): number {
  let rest = byte
  for (const { address, length } of segments) {
    if (rest < length) return address + rest
    rest -= length
  }
  throw new Error('beyond the end')
}
