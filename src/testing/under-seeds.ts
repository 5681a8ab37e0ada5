import { callable, integer, options } from '../internal/validate.ts'
import { CacheWorld, type Keeps } from './cache-world.ts'
import type { Step } from './trace.ts'

export interface UnderSeedsOptions {
  /** How many seeds are tried; 100. */
  readonly seeds?: number
  /** The first of them; 0. */
  readonly first?: number
  /** Runs once for each seed, and rejects (throws) when what it sees is wrong. It must do the same each time. */
  readonly scenario: (world: CacheWorld) => void | Promise<void>
}

/** A scenario failed, for what its CPUs' caches did. `cause` is what it failed with. */
export class SeedFailure extends Error {
  override readonly name = 'SeedFailure'
  /** The smallest seed under which it fails; undefined: it fails whatever the caches do. */
  readonly seed: number | undefined
  /** What happened, in order, with as few acts of the caches (marked `*`) as are needed. */
  readonly steps: readonly Step[]

  constructor({ seed, steps, error }: Failed) {
    const acts = steps.filter(({ moment }) => moment !== undefined).length
    const when =
      seed === undefined
        ? 'whatever the caches do'
        : `under seed ${seed}, by ${acts} ${acts === 1 ? 'act' : 'acts'} of the caches (*)`
    const lines = steps.map(
      ({ buffer, text }, index) => `${String(index + 1).padStart(4)} ${buffer}: ${text}`,
    )
    const why = error instanceof Error ? error.message : String(error)
    super(`the scenario fails ${when}: ${why}\n${lines.join('\n')}`, { cause: error })
    this.seed = seed
    this.steps = steps
  }
}

interface Failed {
  readonly seed: number | undefined
  readonly steps: readonly Step[]
  readonly acts: readonly { readonly buffer: number; readonly moment: number }[]
  readonly error: unknown
}

const knownOptions = ['seeds', 'first', 'scenario'] as const
/** Runs that may be spent on leaving acts out. */
const MOST_TRIALS = 200

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
  const still = await run(scenario, undefined, () => true)
  if (still !== undefined) throw new SeedFailure(still)
  for (let seed = first; seed < first + seeds; seed++) {
    const failed = await run(scenario, seed, () => true)
    if (failed !== undefined) throw new SeedFailure(await shrink(scenario, failed))
  }
}

async function run(
  scenario: UnderSeedsOptions['scenario'],
  seed: number | undefined,
  keeps: Keeps,
): Promise<Failed | undefined> {
  const world = new CacheWorld(seed, keeps)
  let failed: Failed | undefined
  try {
    await scenario(world)
  } catch (error) {
    failed = { seed, steps: world.steps, acts: world.acts, error }
  }
  world.end(failed !== undefined)
  return failed
}

/** Leaves out halves, quarters and so on of the acts, as long as the scenario fails without them. */
async function shrink(scenario: UnderSeedsOptions['scenario'], failed: Failed): Promise<Failed> {
  let least = failed
  let trials = MOST_TRIALS
  for (let size = Math.ceil(least.acts.length / 2); size >= 1 && trials > 0; size = nextSize(size)) {
    for (let from = 0; from < least.acts.length && trials > 0; trials--) {
      const kept = new Set(
        least.acts.toSpliced(from, size).map(({ buffer, moment }) => `${buffer} ${moment}`),
      )
      const again = await run(scenario, failed.seed, (buffer, moment) => kept.has(`${buffer} ${moment}`))
      if (again === undefined) from += size
      else least = again
    }
  }
  return least
}

function nextSize(size: number): number {
  return size === 1 ? 0 : Math.ceil(size / 2)
}
