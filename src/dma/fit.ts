import { hex, PAGE_SIZE, roundDown } from './address.ts'
import { type DmaConstraints, type Refusal, type Segment, unconstrained } from './constraints.ts'

/**
 * The segments that a device is given for memory: neighbours are joined, and what is longer than `maxSegmentSize` or
 * crosses a multiple of `segmentBoundaryMask + 1` is split, into as few pieces as there can be. Or the first rule that the
 * memory breaks whatever one does.
 *
 * Cuts lie at page boundaries, so that only the first segment begins and only the last one ends inside a page, as
 * sg_alloc_table_from_pages_segment() has it (lib/scatterlist.c). Stricter than the kernel: its direct mapper
 * (kernel/dma/direct.c) passes every entry through, neither joined nor split nor measured by more than the mask, and no part
 * of its DMA API counts segments.
 */
export function fitSegments(segments: readonly Segment[], constraints: DmaConstraints): Segment[] | Refusal {
  const runs = joined(segments)
  const { maxSegments } = constraints
  const refusal = beyondMask(runs, constraints.dmaMask)
  if (refusal !== undefined) return refusal
  if (maxSegments === 1 && runs.length > 1) {
    return { rule: 'contiguous', needed: '1 segment', got: `${runs.length} segments` }
  }
  const pieces = runs.flatMap((run) => split(run, constraints))
  return tooShort(pieces, constraints.minSegmentSize) ?? tooMany(runs, pieces, constraints) ?? pieces
}

/** The runs of memory: neighbours joined, empty segments left out. */
export function joined(segments: readonly Segment[]): Segment[] {
  const runs: Segment[] = []
  for (const { address, length } of segments) {
    const last = runs.at(-1)
    if (length === 0) continue
    if (last !== undefined && last.address + last.length === address) {
      runs[runs.length - 1] = { address: last.address, length: last.length + length }
    } else runs.push({ address, length })
  }
  return runs
}

/** The part of memory from byte `offset` on, `byteLength` bytes long: a buffer in the pages around it. */
export function trimmed(segments: readonly Segment[], offset: number, byteLength: number): Segment[] {
  const parts: Segment[] = []
  let skip = offset
  let rest = byteLength
  for (const { address, length } of segments) {
    const skipped = Math.min(skip, length)
    const taken = Math.min(rest, length - skipped)
    skip -= skipped
    rest -= taken
    if (taken > 0) parts.push({ address: address + skipped, length: taken })
  }
  return parts
}

/**
 * The constraints of memory that suits all of these devices, or `undefined` where no memory does: as far as the
 * constraints tell, and where `byteLength` is given, for a buffer of that size. Nobody's constraints are none.
 */
export function coalesce(list: readonly DmaConstraints[], byteLength = 0): DmaConstraints | undefined {
  const all: DmaConstraints = {
    dmaMask: least(list.map(({ dmaMask }) => dmaMask)),
    minSegmentSize: Math.max(1, ...list.map(({ minSegmentSize }) => minSegmentSize)),
    maxSegmentSize: Math.min(Number.MAX_SAFE_INTEGER, ...list.map(({ maxSegmentSize }) => maxSegmentSize)),
    segmentBoundaryMask: least(list.map(({ segmentBoundaryMask }) => segmentBoundaryMask)),
    maxSegments: Math.min(Number.MAX_SAFE_INTEGER, ...list.map(({ maxSegments }) => maxSegments)),
  }
  const longest = longestSegment(all)
  const possible =
    all.minSegmentSize <= longest && all.maxSegments * longest >= byteLength && all.dmaMask >= byteLength - 1
  return possible ? all : undefined
}

/** Bytes of the longest segment that a device can be given. */
export function longestSegment({ maxSegmentSize, segmentBoundaryMask }: DmaConstraints): number {
  return Math.min(roundDown(maxSegmentSize, PAGE_SIZE), Number(segmentBoundaryMask) + 1)
}

function least(masks: readonly bigint[]): bigint {
  let lowest = unconstrained.dmaMask
  for (const mask of masks) if (mask < lowest) lowest = mask
  return lowest
}

function beyondMask(runs: readonly Segment[], dmaMask: bigint): Refusal | undefined {
  for (const { address, length } of runs) {
    if (address + length - 1 <= dmaMask) continue
    return {
      rule: 'address-range',
      needed: `addresses up to ${hex(dmaMask)}`,
      got: hex(address > dmaMask ? address : dmaMask + 1n),
    }
  }
  return undefined
}

/** Cut first where the boundary wants it, and each part of that by size. */
function split(run: Segment, constraints: DmaConstraints): Segment[] {
  const { minSegmentSize, segmentBoundaryMask } = constraints
  const cell = Number(segmentBoundaryMask) + 1
  const max = longestSegment(constraints)
  const pieces: Segment[] = []
  const end = run.address + run.length
  for (let start = run.address; start < end; ) {
    const stop = Math.min(end, roundDown(start, cell) + cell)
    let from = start
    for (const cut of [...cuts(start, stop, max, minSegmentSize), stop]) {
      pieces.push({ address: from, length: cut - from })
      from = cut
    }
    start = stop
  }
  return pieces
}

/**
 * Where [start, end) is cut, into pieces of at most `max` bytes: the fewest, each as long as it can be, or shorter ones
 * before the end where that leaves no piece below `min`.
 */
function cuts(start: number, end: number, max: number, min: number): number[] {
  const greedy: number[] = []
  for (let at = start; end - at > max; ) {
    at = roundDown(at + max, PAGE_SIZE)
    greedy.push(at)
  }
  const even = [...greedy]
  let latest = end
  for (let i = even.length - 1; i >= 0; i--) {
    latest = roundDown(latest - min, PAGE_SIZE)
    if (even[i]! <= latest) break
    even[i] = latest
  }
  const edges = [start, ...even, end]
  const sound = edges.every((edge, i) => i === 0 || lies(edge - edges[i - 1]!, min, max))
  return sound ? even : greedy
}

function lies(value: number, min: number, max: number): boolean {
  return value >= min && value <= max
}

function tooShort(pieces: readonly Segment[], min: number): Refusal | undefined {
  const short = pieces.find(({ length }, i) => length < min && i < pieces.length - 1)
  if (short === undefined) return undefined
  return {
    rule: 'segment-size',
    needed: `at least ${min} bytes in every segment but the last`,
    got: `${short.length} bytes at ${hex(short.address)}`,
  }
}

function tooMany(
  runs: readonly Segment[],
  pieces: readonly Segment[],
  constraints: DmaConstraints,
): Refusal | undefined {
  const { maxSegments, maxSegmentSize, segmentBoundaryMask } = constraints
  if (pieces.length <= maxSegments) return undefined
  if (maxSegments > 1) {
    return {
      rule: 'segment-count',
      needed: `at most ${maxSegments} segments`,
      got: `${pieces.length} segments`,
    }
  }
  // One run that had to be cut.
  const { address, length } = runs[0]!
  const most = roundDown(maxSegmentSize, PAGE_SIZE)
  if (length > most) {
    return { rule: 'segment-size', needed: `1 segment of at most ${most} bytes`, got: `${length} bytes` }
  }
  return {
    rule: 'boundary',
    needed: `1 segment that crosses no multiple of ${hex(segmentBoundaryMask + 1n)}`,
    got: `${hex(address)} to ${hex(address + length)}`,
  }
}
