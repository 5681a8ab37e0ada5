import type { Figures, FrameFigures, Job, Peer, Touch, TripFigures, TripKind } from '../types.ts'
import { median, quantile } from './stats.ts'

const WARM_UP_TRIPS = 50
const MIN_TRIPS = 50
const MAX_TRIPS = 20_000
const MAX_FRAMES = 200_000

/** How many of something fit into the time, when `count` of them took `seconds`. */
function fitting(target: number, count: number, seconds: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, Math.round((target * count) / Math.max(seconds, 1e-6))))
}

async function trips(peer: Peer, kind: TripKind, job: Job): Promise<TripFigures> {
  const warmUp = await peer.roundTrip(kind, Math.min(job.frames ?? WARM_UP_TRIPS, WARM_UP_TRIPS))
  const each = median(warmUp) / 1e6
  // The compiler is not done after fifty, so a quarter of the time is spent on warming up once more.
  const rough = job.frames ?? fitting(job.seconds / 4, 1, each, 1, MAX_TRIPS)
  const warm = median(await peer.roundTrip(kind, rough)) / 1e6
  const count = job.frames ?? fitting(job.seconds, 1, warm, MIN_TRIPS, MAX_TRIPS)
  const micros = await peer.roundTrip(kind, count)
  return { median: median(micros), p99: quantile(micros, 0.99), count }
}

async function frames(peer: Peer, touch: Touch, job: Job): Promise<FrameFigures> {
  const few = job.frames ?? 10
  const first = await peer.stream(few, touch)
  const rough = job.frames ?? fitting(job.seconds / 4, few, first.seconds, few, MAX_FRAMES)
  const warm = await peer.stream(rough, touch)
  const count = job.frames ?? fitting(job.seconds, rough, warm.seconds, few, MAX_FRAMES)
  const { seconds, cpuSeconds } = await peer.stream(count, touch)
  return { framesPerSecond: count / seconds, cpuMillis: (cpuSeconds * 1000) / count, frames: count }
}

/** Everything that a job asks of a peer, in the order in which it disturbs least. */
export async function measure(
  peer: Peer,
  job: Job,
  memory: { begin(): Promise<void>; end(): Promise<void> },
): Promise<Figures> {
  const figures: Figures = {}
  for (const part of job.parts) {
    if (part === 'handover' || part === 'new') figures[part] = await trips(peer, part, job)
    else if (part !== 'memory') figures[part] = await frames(peer, part, job)
  }
  // By itself, because looking at a process's memory from outside stops it for moments.
  if (job.parts.includes('memory')) {
    const few = job.frames ?? 10
    const { seconds } = await peer.stream(few, 'page')
    await memory.begin()
    await peer.stream(
      job.frames ?? fitting(Math.min(job.seconds, 0.5), few, seconds, few, MAX_FRAMES),
      'page',
    )
    await memory.end()
  }
  return figures
}
