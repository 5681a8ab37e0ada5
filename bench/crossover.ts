import { copyingPeers, OURS } from './peers/index.ts'
import type { Crossover, Figures, SeriesPoint } from './types.ts'

export function point(size: number, figures: ReadonlyMap<string, Figures>): SeriesPoint {
  const framesPerSecond: Record<string, number> = {}
  const roundTripMicros: Record<string, number> = {}
  for (const [peer, { page, handover }] of figures) {
    if (page) framesPerSecond[peer] = page.framesPerSecond
    if (handover) roundTripMicros[peer] = handover.median
  }
  return { size, framesPerSecond, roundTripMicros }
}

export function bestCopying(
  values: Readonly<Record<string, number>>,
  better: (a: number, b: number) => boolean,
): string | undefined {
  return copyingPeers
    .filter((peer) => values[peer] !== undefined)
    .reduce<string | undefined>(
      (best, peer) => (best === undefined || better(values[peer]!, values[best]!) ? peer : best),
      undefined,
    )
}

export const more = (a: number, b: number): boolean => a > b
export const less = (a: number, b: number): boolean => a < b

function from(
  points: readonly SeriesPoint[],
  what: 'framesPerSecond' | 'roundTripMicros',
  better: (a: number, b: number) => boolean,
): number | null {
  const ahead = points.map(({ [what]: values }) => {
    const best = bestCopying(values, better)
    return best !== undefined && values[OURS] !== undefined && better(values[OURS], values[best]!)
  })
  const first = ahead.lastIndexOf(false) + 1
  return points[first]?.size ?? null
}

/** Where sharing begins to pay: being ahead once, by noise, and behind again at a bigger size does not count. */
export function crossover(unsorted: readonly SeriesPoint[]): Crossover {
  const points = [...unsorted].sort((a, b) => a.size - b.size)
  return {
    points,
    framesFrom: from(points, 'framesPerSecond', more),
    roundTripFrom: from(points, 'roundTripMicros', less),
  }
}
