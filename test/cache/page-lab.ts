/**
 * What a web page would run: scenarios over the model of the caches in ordinary memory. Each resolves to what it saw; one that
 * only some schedule of the caches breaks, to the report on the smallest seed.
 */
import type { CacheEvent } from '../../src/memory/cache/cpu-cache.ts'
import { SeededSchedule, ThinnedSchedule } from '../../src/memory/cache/schedule.ts'
import { type Act, type Keeps, type Step, searchSeeds, type World } from '../../src/testing/seed-search.ts'
import { LINE, type PlainBuffer, plainBuffer } from './memory.ts'

/** One buffer, and what its caches do. */
class Page implements World {
  readonly steps: Step[] = []
  readonly frame: PlainBuffer

  constructor(seed: number | undefined, keeps: Keeps) {
    this.frame = plainBuffer(4096, seed)
    const { model } = this.frame
    if (seed !== undefined)
      model.schedule = new ThinnedSchedule(new SeededSchedule(seed), (moment) => keeps(0, moment))
    model.observe = (event) => this.#add(event)
  }

  get acts(): Act[] {
    return this.steps.flatMap(({ moment }) => (moment === undefined ? [] : [{ buffer: 0, moment }]))
  }

  end(): void {}

  #add({ what, moment, dirty }: CacheEvent): void {
    const own = what === 'evict' || what === 'prefetch'
    this.steps.push({ buffer: 'frame', text: `${what} ${dirty}`, moment: own ? moment : undefined })
  }
}

/** The camera writes a frame, and the CPU looks at it with or without a begin that invalidates. */
function capture({ frame }: Page, invalidates: boolean): number | undefined {
  frame.model.map('from-device', false)
  frame.dmaWrite(0, LINE, 7)
  frame.model.begin('read', 0, LINE, { skipInvalidate: !invalidates })
  return frame.bytes[0]
}

function staleRead(begins: boolean): number | undefined {
  const page = new Page(undefined, () => true)
  page.frame.model.begin('read', 0, LINE)
  page.frame.model.end('read', 0, LINE)
  return capture(page, begins)
}

function lostWrite(ends: boolean): number | undefined {
  const { frame } = new Page(undefined, () => true)
  frame.model.map('to-device', false)
  frame.model.begin('write', 0, LINE)
  frame.bytes[0] = 5
  if (ends) frame.model.end('write', 0, LINE)
  return frame.dmaRead(0, 1)[0]
}

async function prefetched(invalidates: boolean): Promise<string> {
  const scenario = (page: Page) => {
    if (capture(page, invalidates) !== 7) throw new Error('stale')
  }
  const world = (seed: number | undefined, keeps: Keeps) => new Page(seed, keeps)
  return searchSeeds({ seeds: 100, first: 0, scenario, world }).then(
    () => 'passes',
    (error: unknown) => String(error),
  )
}

export const lab = { staleRead, lostWrite, prefetched }
