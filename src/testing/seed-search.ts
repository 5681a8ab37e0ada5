/** Runs that may be spent on leaving acts out. */
const MOST_TRIALS = 200

/** One thing that happened to a buffer. */
export interface Step {
  /** Name of the buffer. */
  readonly buffer: string
  /** `begin read 0+64`, `dma write camera 0+4096`, `evict lines 3-5 (1 written back)`. */
  readonly text: string
  /** Of the adversary: which moment of the buffer it was. */
  readonly moment: number | undefined
}

/** A moment of one of a world's buffers, which are counted from 0. */
export interface Act {
  readonly buffer: number
  readonly moment: number
}

/** Whether the adversary acts at a moment of a buffer. */
export type Keeps = (buffer: number, moment: number) => boolean

/** What a scenario runs in. */
export interface World {
  /** What has happened so far. */
  readonly steps: readonly Step[]
  /** Moments at which the adversary acted. */
  readonly acts: readonly Act[]
  /** The scenario is over; one that failed was left by its error, and has not forgotten what it was in. */
  end(failed: boolean): void
}

/** Which seeds are tried, on which scenario, in what worlds. Plain TypeScript, as the model of the caches is. */
export interface SeedSearch<W extends World> {
  readonly seeds: number
  readonly first: number
  readonly scenario: (world: W) => void | Promise<void>
  /** Without a seed: one whose caches do nothing of their own. */
  readonly world: (seed: number | undefined, keeps: Keeps) => W
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
  readonly acts: readonly Act[]
  readonly error: unknown
}

/** Rejects with the smallest failure of the smallest seed under which the scenario fails. */
export async function searchSeeds<W extends World>(search: SeedSearch<W>): Promise<void> {
  const { seeds, first } = search
  const still = await run(search, undefined, () => true)
  if (still !== undefined) throw new SeedFailure(still)
  for (let seed = first; seed < first + seeds; seed++) {
    const failed = await run(search, seed, () => true)
    if (failed !== undefined) throw new SeedFailure(await shrink(search, failed))
  }
}

async function run<W extends World>(
  { scenario, world: make }: SeedSearch<W>,
  seed: number | undefined,
  keeps: Keeps,
): Promise<Failed | undefined> {
  const world = make(seed, keeps)
  let failed: Failed | undefined
  try {
    await scenario(world)
  } catch (error) {
    failed = { seed, steps: [...world.steps], acts: world.acts, error }
  }
  world.end(failed !== undefined)
  return failed
}

/** Leaves out halves, quarters and so on of the acts, as long as the scenario fails without them. */
async function shrink<W extends World>(search: SeedSearch<W>, failed: Failed): Promise<Failed> {
  let least = failed
  let trials = MOST_TRIALS
  for (let size = Math.ceil(least.acts.length / 2); size >= 1 && trials > 0; size = nextSize(size)) {
    for (let from = 0; from < least.acts.length && trials > 0; trials--) {
      const kept = new Set(
        least.acts.toSpliced(from, size).map(({ buffer, moment }) => `${buffer} ${moment}`),
      )
      const again = await run(search, failed.seed, (buffer, moment) => kept.has(`${buffer} ${moment}`))
      if (again === undefined) from += size
      else least = again
    }
  }
  return least
}

function nextSize(size: number): number {
  return size === 1 ? 0 : Math.ceil(size / 2)
}
