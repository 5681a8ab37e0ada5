import type { Figures, FrameFigures, TripFigures } from '../types.ts'
import { median } from './stats.ts'

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined)
}

function trips(rounds: readonly TripFigures[]): TripFigures | undefined {
  if (rounds.length === 0) return undefined
  return {
    median: median(rounds.map((round) => round.median)),
    p99: median(rounds.map((round) => round.p99)),
    count: rounds.reduce((sum, round) => sum + round.count, 0),
  }
}

function frames(rounds: readonly FrameFigures[]): FrameFigures | undefined {
  if (rounds.length === 0) return undefined
  return {
    framesPerSecond: median(rounds.map((round) => round.framesPerSecond)),
    cpuMillis: median(rounds.map((round) => round.cpuMillis)),
    frames: rounds.reduce((sum, round) => sum + round.frames, 0),
  }
}

/** One set of figures of several rounds: the median of each, and the memory of the round that had it taken. */
export function aggregate(rounds: readonly Figures[]): Figures {
  const handover = trips(present(rounds.map((round) => round.handover)))
  const fresh = trips(present(rounds.map((round) => round.new)))
  const page = frames(present(rounds.map((round) => round.page)))
  const all = frames(present(rounds.map((round) => round.all)))
  const memory = rounds.findLast((round) => round.memory)?.memory
  return {
    ...(handover && { handover }),
    ...(fresh && { new: fresh }),
    ...(page && { page }),
    ...(all && { all }),
    ...(memory && { memory }),
  }
}
