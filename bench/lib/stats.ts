/** The nearest-rank quantile: always one of the samples, so a p99 is a latency that really happened. */
export function quantile(samples: readonly number[], q: number): number {
  if (samples.length === 0) throw new RangeError('no samples')
  const sorted = Float64Array.from(samples).sort()
  const rank = Math.ceil(q * sorted.length)
  return sorted[Math.min(Math.max(rank, 1), sorted.length) - 1]!
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}
