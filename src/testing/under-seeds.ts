import { callable, integer, options } from '../internal/validate.ts'
import { CacheWorld } from './cache-world.ts'
import { searchSeeds } from './seed-search.ts'

export interface UnderSeedsOptions {
  /** How many seeds are tried; 100. */
  readonly seeds?: number
  /** The first of them; 0. */
  readonly first?: number
  /** Runs once for each seed, and rejects (throws) when what it sees is wrong. It must do the same each time. */
  readonly scenario: (world: CacheWorld) => void | Promise<void>
}

const knownOptions = ['seeds', 'first', 'scenario'] as const

/**
 * Runs a scenario under many seeds: in each, the caches of the world's non-coherent buffers evict and prefetch lines at other
 * moments. Rejects with a {@link SeedFailure} for the smallest seed under which the scenario fails, after leaving out every
 * act of the caches without which it fails as well. Only what caches do in this process can be left out; in others that have
 * the buffers they follow the seed. For any test runner.
 */
export async function underSeeds(seedsOptions: UnderSeedsOptions): Promise<void> {
  const opts = options('underSeeds', seedsOptions, knownOptions)
  const scenario = callable('scenario', opts.scenario as UnderSeedsOptions['scenario'])
  const seeds = integer('seeds', opts.seeds ?? 100, 1)
  const first = integer('first', opts.first ?? 0, 0, 2 ** 32 - seeds)
  await searchSeeds({ seeds, first, scenario, world: (seed, keeps) => new CacheWorld(seed, keeps) })
}
