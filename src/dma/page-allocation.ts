import { hex, PAGE_SIZE } from './address.ts'
import type { DmaConstraints, Refusal } from './constraints.ts'
import { fitSegments } from './fit.ts'
import {
  bytesOf,
  type Gathering,
  giveBack,
  largestBlocks,
  oneBlock,
  scatteredChunks,
} from './page-gathering.ts'
import { type Found, firstFit, longestRuns, runIn } from './run-search.ts'
import type { FrameRun } from './shattering.ts'
import type { Zone } from './zone.ts'

export interface PageRequest {
  readonly frames: number
  readonly constraints: DmaConstraints
  readonly layout: 'scattered' | 'contiguous'
}

/**
 * Takes pages that suit the constraints: by the ways that cost the memory least first, so that contiguous memory is
 * left to those who need it. Nothing is taken when it returns a refusal.
 */
export function takePages(zones: readonly Zone[], area: Zone, request: PageRequest): FrameRun[] | Refusal {
  return new Allocation(zones, area, request).take()
}

class Allocation {
  readonly #request: PageRequest
  readonly #area: Zone
  /** Those that the device reaches; the highest first, as the kernel's zone lists fall back. */
  readonly #zones: readonly Zone[]
  readonly #all: readonly Zone[]
  readonly #limit: number

  constructor(zones: readonly Zone[], area: Zone, request: PageRequest) {
    this.#request = request
    this.#area = area
    this.#limit = Number((request.constraints.dmaMask + 1n) / BigInt(PAGE_SIZE))
    this.#all = [...zones, area]
    this.#zones = zones.filter(({ start }) => start < this.#limit).sort((a, b) => b.start - a.start)
  }

  take(): FrameRun[] | Refusal {
    const { frames, constraints, layout } = this.#request
    if (this.#reachable() < frames) return this.#tooLittle()
    const gathering: Gathering = {
      zones: this.#zones,
      frames,
      limit: this.#limit,
      most: constraints.maxSegments,
      least: constraints.minSegmentSize,
    }
    const scattered = layout === 'scattered'
    const pieces = scattered && constraints.maxSegments > 1
    return (
      (pieces ? this.#suitable(scatteredChunks(gathering)) : undefined) ??
      (scattered ? this.#suitable(largestBlocks(gathering)) : undefined) ??
      this.#inArea() ??
      (scattered ? undefined : this.#suitable(oneBlock(gathering))) ??
      this.#inZones() ??
      (pieces ? this.#fewRuns() : this.#noRun())
    )
  }

  /** Passes on what was taken when it suits the device, and gives it back otherwise. */
  #suitable(taken: FrameRun[] | undefined): FrameRun[] | undefined {
    if (taken === undefined || Array.isArray(this.#fit(taken))) return taken
    giveBack(this.#zones, taken)
    return undefined
  }

  #inArea(): FrameRun[] | undefined {
    const { frames, constraints } = this.#request
    const found = firstFit(this.#area, frames, this.#limit, constraints)
    return found && takeFound([found])
  }

  /** One run of neighbouring blocks; the area comes last, for places that are not aligned. */
  #inZones(): FrameRun[] | undefined {
    const { frames, constraints } = this.#request
    for (const zone of [...this.#zones, this.#area]) {
      const found = runIn(zone, frames, this.#limit, constraints)
      if (found !== undefined) return takeFound([found])
    }
    return undefined
  }

  #fewRuns(): FrameRun[] | Refusal {
    const { frames, constraints } = this.#request
    const found = longestRuns([...this.#zones, this.#area], frames, this.#limit, constraints)
    if ('rule' in found) return found
    const fitting = this.#fit(found)
    return Array.isArray(fitting) ? takeFound(found) : fitting
  }

  /** Why there is no place for one run. */
  #noRun(): Refusal {
    const { frames, constraints } = this.#request
    let longest: FrameRun = { start: 0, end: 0 }
    for (const zone of [...this.#zones, this.#area]) {
      for (const run of zone.runs(this.#limit, 1)) {
        if (run.end - run.start > longest.end - longest.start) longest = run
      }
    }
    const got = longest.end - longest.start
    if (got >= frames) {
      const fitting = fitSegments([bytesOf({ ...longest, end: longest.start + frames })], constraints)
      if (!Array.isArray(fitting)) return fitting
    }
    return {
      rule: 'contiguous',
      needed: `a free run of ${frames * PAGE_SIZE} bytes`,
      got: `one of ${got * PAGE_SIZE} bytes`,
    }
  }

  #tooLittle(): Refusal {
    const { frames, constraints } = this.#request
    const reached = this.#reachable()
    const free = this.#all.reduce((sum, zone) => sum + zone.free(), 0)
    const below = ` at addresses up to ${hex(constraints.dmaMask)}`
    const short = free < frames
    return {
      rule: short ? 'size' : 'address-range',
      needed: `${frames * PAGE_SIZE} free bytes${short ? '' : below}`,
      got: `${(short ? free : reached) * PAGE_SIZE} bytes`,
    }
  }

  #reachable(): number {
    return [...this.#zones, this.#area].reduce((sum, zone) => sum + zone.free(this.#limit), 0)
  }

  #fit(runs: readonly FrameRun[]) {
    return fitSegments(runs.map(bytesOf), this.#request.constraints)
  }
}

function takeFound(found: readonly Found[]): FrameRun[] {
  for (const run of found) run.zone.takeRange(run)
  return found.map(({ start, end }) => ({ start, end }))
}
