import { seededRandom } from '../../internal/random.ts'

/** Lines [first, last). */
export interface LineRange {
  readonly first: number
  readonly last: number
}

/** What the adversary does to some lines at a moment. */
export interface Turn {
  /** `evict` drops lines and writes dirty ones back; `prefetch` loads lines that nobody asked for. */
  readonly action: 'evict' | 'prefetch'
  readonly range: LineRange
  /** Asked once for each line of the range, in order. */
  readonly takes: () => boolean
}

/** What caches may do at any time, and sometimes do: at each moment of a buffer's life, none or one of the two. */
export interface Schedule {
  /** Depends on nothing but the moment's number, so that leaving one out changes no other. */
  at(moment: number, near: LineRange, lines: number): Turn | undefined
}

/** Lines that a turn looks at; more would make every bracket of a large buffer slow. */
const WINDOW = 4096

/** One in so many of the lines looked at. */
const densities = [1, 2, 8] as const

/** A schedule that is the same for the same seed. */
export class SeededSchedule implements Schedule {
  readonly seed: number

  constructor(seed: number) {
    this.seed = seed
  }

  at(moment: number, near: LineRange, lines: number): Turn | undefined {
    const random = seededRandom(Math.imul(this.seed + 1, 0x85ebca6b) ^ Math.imul(moment + 1, 0xc2b2ae35))
    // The first number of a seed resembles that of its neighbours.
    random(2)
    const choice = random(4)
    const density = densities[random(densities.length)] ?? 1
    if (choice > 1) return undefined
    const range = windowOf(near, lines, random)
    return { action: choice === 0 ? 'evict' : 'prefetch', range, takes: () => random(density) === 0 }
  }
}

/** All lines of a small buffer, else a window that touches what is being used, or lies next to it. */
function windowOf(near: LineRange, lines: number, random: (below: number) => number): LineRange {
  if (lines <= WINDOW) return { first: 0, last: lines }
  const least = Math.max(0, near.first - WINDOW)
  const most = Math.min(lines - WINDOW, near.last)
  const first = least + random(Math.max(1, most - least + 1))
  return { first, last: Math.min(lines, first + WINDOW) }
}

/** Another schedule with only some of its moments: for finding those that matter. */
export class ThinnedSchedule implements Schedule {
  readonly #schedule: Schedule
  readonly #keeps: (moment: number) => boolean

  constructor(schedule: Schedule, keeps: (moment: number) => boolean) {
    this.#schedule = schedule
    this.#keeps = keeps
  }

  at(moment: number, near: LineRange, lines: number): Turn | undefined {
    return this.#keeps(moment) ? this.#schedule.at(moment, near, lines) : undefined
  }
}
