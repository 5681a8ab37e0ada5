import { PAGE_SIZE } from './address.ts'
import type { Segment } from './constraints.ts'
import { MAX_ORDER } from './page-block.ts'
import type { FrameRun } from './shattering.ts'
import type { Avoid, Zone } from './zone.ts'

export interface Gathering {
  /** The zones to take from, the one to begin with first. */
  readonly zones: readonly Zone[]
  readonly frames: number
  /** The first frame that the device does not reach. */
  readonly limit: number
  /** Runs at the most, neighbours joined. */
  readonly most: number
  /** Bytes that each run but the last must have. */
  readonly least: number
}

/** How far the orders of the system heap's chunks go: drivers/dma-buf/heaps/system_heap.c, `orders`. */
const heapOrders = [8, 4, 0]

/**
 * Takes chunks as the system heap does: of 1 MiB, 64 KiB and 4 KiB, the largest first, none larger than what is left nor
 * than the one before (`alloc_largest_available()`); and no neighbours where there is a choice, as on a machine
 * that has been up for a while. Nothing is taken when it returns `undefined`.
 */
export function scatteredChunks(gathering: Gathering): FrameRun[] | undefined {
  const taken = new Chunks(gathering)
  const avoid: Avoid = (start, end) => taken.touch(start, end)
  let at = 0
  while (taken.rest > 0) {
    while (
      at < heapOrders.length &&
      !(2 ** heapOrders[at]! <= taken.rest && taken.take(heapOrders[at]!, avoid))
    ) {
      at++
    }
    if (at === heapOrders.length || taken.hopeless) return taken.giveBack()
  }
  return taken.runs
}

/**
 * Takes blocks as large as a buddy allocator has them, neighbours welcome. The pages of the last one that are too many
 * go back at once, as in `alloc_pages_exact()`. Nothing is taken when it returns `undefined`.
 */
export function largestBlocks(gathering: Gathering): FrameRun[] | undefined {
  const taken = new Chunks(gathering)
  let most = MAX_ORDER
  while (taken.rest > 0) {
    let order = Math.min(most, orderOf(taken.rest))
    while (order >= 0 && !taken.take(order)) order--
    if (order < 0 || taken.hopeless) return taken.giveBack()
    if (2 ** order < taken.rest) most = order
  }
  return taken.runs
}

/** Takes one block, or the part of it that is wanted. */
export function oneBlock(gathering: Gathering): FrameRun[] | undefined {
  const order = orderOf(gathering.frames)
  const taken = new Chunks(gathering)
  return order <= MAX_ORDER && taken.take(order) ? taken.runs : undefined
}

/** The order of the smallest block that holds so many frames, the kernel's `get_order()`. */
export function orderOf(frames: number): number {
  return Math.ceil(Math.log2(frames))
}

export function bytesOf({ start, end }: FrameRun): Segment {
  return { address: start * PAGE_SIZE, length: (end - start) * PAGE_SIZE }
}

/** The chunks of one allocation so far. */
class Chunks {
  readonly runs: FrameRun[] = []
  rest: number
  readonly #gathering: Gathering
  /** By zone, the least order that it has no free chunk of. It cannot get one while we only take. */
  readonly #dry = new Map<Zone, number>()
  /** Where chunks begin or end. */
  readonly #edges = new Set<number>()
  /** Runs, when neighbours are joined. */
  #joined = 0
  #longEnough = true
  #joinedFrames = 0

  constructor(gathering: Gathering) {
    this.#gathering = gathering
    this.rest = gathering.frames
  }

  /** Whether there are too many runs, or too short ones, whatever follows. */
  get hopeless(): boolean {
    return !this.#longEnough || this.#joined > this.#gathering.most
  }

  /** Whether such a chunk would be next to one of these. */
  touch(start: number, end: number): boolean {
    return this.#edges.has(start) || this.#edges.has(end)
  }

  /** Takes a chunk of this order, or as much of it as is wanted still, from the first zone that has one. */
  take(order: number, avoid?: Avoid): boolean {
    const { zones, limit } = this.#gathering
    for (const zone of zones) {
      if (order >= (this.#dry.get(zone) ?? Number.POSITIVE_INFINITY)) continue
      const start = zone.take(order, limit, avoid)
      if (start === undefined) {
        this.#dry.set(zone, order)
        continue
      }
      const end = start + Math.min(2 ** order, this.rest)
      if (end < start + 2 ** order) zone.give({ start: end, end: start + 2 ** order })
      this.#add({ start, end })
      return true
    }
    return false
  }

  giveBack(): undefined {
    giveBack(this.#gathering.zones, this.runs)
    return undefined
  }

  #add(run: FrameRun): void {
    if (this.runs.at(-1)?.end !== run.start) {
      if (this.#joined > 0 && this.#joinedFrames * PAGE_SIZE < this.#gathering.least) this.#longEnough = false
      this.#joined++
      this.#joinedFrames = 0
    }
    this.#joinedFrames += run.end - run.start
    this.rest -= run.end - run.start
    this.runs.push(run)
    this.#edges.add(run.start).add(run.end)
  }
}

/** Gives frames back to the zones or areas that they lie in. */
export function giveBack(zones: readonly Zone[], runs: readonly FrameRun[]): void {
  for (const run of runs) zones.find(({ start, end }) => run.start >= start && run.start < end)?.give(run)
}
