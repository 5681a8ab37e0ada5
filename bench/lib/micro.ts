import type { Micros } from '../types.ts'
import { median, quantile } from './stats.ts'

const FEWEST = 5
/** Below this the clock's grain and its own cost show. */
const SAMPLE_US = 50

export function figures(samples: readonly number[]): Micros {
  return { median: median(samples), p99: quantile(samples, 0.99), count: samples.length }
}

/** Microseconds of one call of `once`; where that is little, a sample is the mean of a batch. */
export async function micros(seconds: number, once: () => void | Promise<void>): Promise<Micros> {
  const batch = async (calls: number) => {
    const from = performance.now()
    for (let i = 0; i < calls; i++) await once()
    return ((performance.now() - from) * 1000) / calls
  }
  // Also warms the code up.
  const first = await batch(100)
  const calls = Math.max(1, Math.ceil(SAMPLE_US / first))
  const samples: number[] = []
  const until = performance.now() + seconds * 1000
  while (samples.length < FEWEST || performance.now() < until) samples.push(await batch(calls))
  return figures(samples)
}
