import { PAGE_SIZE, roundDown, roundUp } from './address.ts'
import type { DmaConstraints, Refusal } from './constraints.ts'
import { fitSegments, longestSegment } from './fit.ts'
import { MAX_ORDER } from './page-block.ts'
import { bytesOf, orderOf } from './page-gathering.ts'
import type { FrameRun } from './shattering.ts'
import type { Zone } from './zone.ts'

/** A run of free frames, and where it is. */
export interface Found extends FrameRun {
  readonly zone: Zone
}

/** The largest order that places in the contiguous area are aligned to: the kernel's CONFIG_CMA_ALIGNMENT. */
const AREA_ALIGNMENT = 8
/** Periods of fragmented memory that are looked at where any of them will do. */
const SAMPLE = 4

/** The first place for one run in the contiguous area, aligned to its order (`cma_alloc()`, mm/cma.c). */
export function firstFit(
  area: Zone,
  frames: number,
  limit: number,
  constraints: DmaConstraints,
): Found | undefined {
  const align = 2 ** Math.min(orderOf(frames), AREA_ALIGNMENT)
  for (const run of area.runs(limit, SAMPLE)) {
    const start = place(run, frames, constraints, align)
    if (start !== undefined) return { start, end: start + frames, zone: area }
  }
  return undefined
}

/** A place for one run where nobody has taken anything, quickly found; else in the shortest free run that has one. */
export function runIn(
  zone: Zone,
  frames: number,
  limit: number,
  constraints: DmaConstraints,
): Found | undefined {
  const run = zone.untouchedRun(frames, limit)
  const start = run && place(run, frames, constraints, 1)
  if (start !== undefined) return { start, end: start + frames, zone }
  return bestFit(zone, frames, limit, constraints)
}

function bestFit(zone: Zone, frames: number, limit: number, constraints: DmaConstraints): Found | undefined {
  const runs = [...zone.runs(limit, SAMPLE)].filter(({ start, end }) => end - start >= frames)
  runs.sort((a, b) => a.end - a.start - (b.end - b.start))
  for (const run of runs) {
    const start =
      place(run, frames, constraints, 2 ** Math.min(orderOf(frames), MAX_ORDER)) ??
      place(run, frames, constraints, 1)
    if (start !== undefined) return { start, end: start + frames, zone }
  }
  return undefined
}

/**
 * The longest free runs that make up so many frames: as few segments as there can be. A run is cut where the device could
 * not use its pieces. Or why that cannot be done.
 */
export function longestRuns(
  zones: readonly Zone[],
  frames: number,
  limit: number,
  constraints: DmaConstraints,
): Found[] | Refusal {
  const least = Math.ceil(constraints.minSegmentSize / PAGE_SIZE)
  const runs: Found[] = []
  for (const zone of zones) {
    for (const run of zone.runs(limit, frames)) {
      for (const part of usable(run, frames, constraints)) runs.push({ ...part, zone })
    }
  }
  runs.sort((a, b) => b.end - b.start - (a.end - a.start))
  const chosen: Found[] = []
  let rest = frames
  for (const run of runs) {
    const length = run.end - run.start
    if (rest === 0) break
    // It could be the last segment only.
    if (length < least && length < rest) continue
    const end = run.start + Math.min(length, rest)
    chosen.push({ ...run, end })
    rest -= end - run.start
  }
  if (rest === 0) return chosen
  return {
    rule: 'segment-size',
    needed: `${frames * PAGE_SIZE} bytes in free runs of at least ${constraints.minSegmentSize} bytes`,
    got: `${(frames - rest) * PAGE_SIZE} bytes`,
  }
}

/** The first place in a free run where the device can use a run of so many frames. */
function place(
  run: FrameRun,
  frames: number,
  constraints: DmaConstraints,
  align: number,
): number | undefined {
  const cell = cellOf(constraints)
  const longest = Math.floor(longestSegment(constraints) / PAGE_SIZE)
  const window = roundUp(run.start + 1, cell)
  // At once; or where what is left of the window of the boundary is cut without a remainder.
  const starts = [run.start, window - roundDown(window - run.start, longest)].map((start) =>
    roundUp(start, align),
  )
  return starts.find(
    (start) =>
      start + frames <= run.end &&
      Array.isArray(fitSegments([bytesOf({ start, end: start + frames })], constraints)),
  )
}

/** The parts of a free run that lie within one window of the boundary each, `frames` of them in all. */
function* usable(run: FrameRun, frames: number, constraints: DmaConstraints): Generator<FrameRun> {
  const cell = cellOf(constraints)
  const longest = Math.floor(longestSegment(constraints) / PAGE_SIZE)
  const least = Math.ceil(constraints.minSegmentSize / PAGE_SIZE)
  let rest = frames + 2 * cell
  for (let at = run.start; at < run.end && rest > 0; ) {
    const end = Math.min(run.end, roundDown(at, cell) + cell)
    const remainder = (end - at) % longest
    // What is left over when the part is cut must be a segment, too.
    const to = end - at > longest && remainder < least ? end - remainder : end
    yield { start: at, end: to }
    rest -= to - at
    at = end
  }
}

/** Frames of a window of the boundary. */
function cellOf({ segmentBoundaryMask }: DmaConstraints): number {
  return Math.max(1, Math.floor((Number(segmentBoundaryMask) + 1) / PAGE_SIZE))
}
