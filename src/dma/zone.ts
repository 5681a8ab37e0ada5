import type { Random } from '../internal/random.ts'
import { BlockLists } from './block-lists.ts'
import { BLOCK_FRAMES, MAX_ORDER, PageBlock } from './page-block.ts'
import { type FrameRun, Shattering } from './shattering.ts'

/** Says of a place for a chunk whether it is to be avoided where there are others. */
export type Avoid = (start: number, end: number) => boolean

export interface FrameCounts {
  readonly free: number
  /** Kept from being allocated by a fragmentation. */
  readonly held: number
  /** How many free chunks there are of each order. */
  readonly chunks: readonly number[]
}

/** Tries to find a chunk that is not to be avoided, for each order and among the blocks that nobody has touched. */
const TRIES = 3
/** Touched blocks that the search for an untouched run skips. */
const RUN_TRIES = 64

/**
 * The frames of a zone (`struct zone`) or of a contiguous area, in blocks of 1024 frames. Only blocks that are not wholly
 * free, or not as a fragmentation would have them, are there as objects.
 */
export class Zone<Name extends string = string> {
  readonly name: Name
  readonly start: number
  readonly end: number
  readonly #random: Random
  readonly #blocks = new Map<number, PageBlock>()
  readonly #lists = new BlockLists()
  /** The blocks from here to there lie wholly in the zone, so that they need no object as long as they are free. */
  readonly #firstWhole: number
  readonly #endWhole: number
  #shattering: Shattering | undefined
  /** Free frames of the blocks that are there as objects. */
  #knownFree = 0
  /** Blocks that lie partly in the zone. They are always there as objects. */
  readonly #edges: number
  /** Where the next run of untouched blocks is looked for. */
  #cursor: number
  /** Within `take`: the first chunk found that is to be avoided, for when there is no other. */
  #spare: number | undefined

  constructor(name: Name, { start, end }: FrameRun, random: Random) {
    this.name = name
    this.start = start
    this.end = Math.max(start, end)
    this.#random = random
    this.#firstWhole = Math.ceil(start / BLOCK_FRAMES)
    this.#endWhole = Math.max(this.#firstWhole, Math.floor(end / BLOCK_FRAMES))
    this.#cursor = this.#firstWhole
    const edges = end > start ? [start, end - 1] : []
    for (const edge of edges) this.#closeWhole(this.#block(Math.floor(edge / BLOCK_FRAMES)))
    this.#edges = this.#blocks.size
  }

  get frames(): number {
    return this.end - this.start
  }

  get shattered(): boolean {
    return this.#shattering !== undefined
  }

  /**
   * Takes a chunk of 2^order frames below the frame `limit`, out of a chunk as small as possible, and returns its first
   * frame.
   */
  take(order: number, limit: number, avoid?: Avoid): number | undefined {
    const below = limit >= this.end ? Number.POSITIVE_INFINITY : Math.floor(limit / BLOCK_FRAMES)
    this.#spare = undefined
    const start =
      this.#fromLists(order, below, avoid) ?? this.#fromUntouched(order, below, avoid) ?? this.#spare
    if (start !== undefined) this.takeRange({ start, end: start + 2 ** order })
    return start
  }

  /** Takes frames that are known to be free. */
  takeRange(run: FrameRun): void {
    this.#change(run, 'take')
  }

  /** Gives taken frames back. */
  give(run: FrameRun): void {
    this.#change(run, 'free')
  }

  /**
   * The runs of free frames below the frame `limit`, ascending, none of them next to another. Of untouched memory that is
   * fragmented only about `most` periods are told, and the ends of each stretch, since the rest is like them.
   */
  *runs(limit: number, most: number): Generator<FrameRun> {
    let last: FrameRun | undefined
    for (const part of this.#parts(most)) {
      const run = { start: part.start, end: Math.min(part.end, limit) }
      if (run.start >= run.end) break
      if (last?.end === run.start) last = { start: last.start, end: run.end }
      else {
        if (last !== undefined) yield last
        last = run
      }
    }
    if (last !== undefined) yield last
  }

  longestRun(limit = this.end): number {
    let longest = 0
    for (const { start, end } of this.runs(limit, 1)) longest = Math.max(longest, end - start)
    return longest
  }

  /**
   * A run of so many frames below the frame `limit` in blocks that nobody has touched, found without a look at all
   * memory; so there may be one although it finds none.
   */
  untouchedRun(frames: number, limit: number): FrameRun | undefined {
    const count = Math.ceil(frames / BLOCK_FRAMES)
    const end = Math.min(this.#endWhole, Math.floor(limit / BLOCK_FRAMES))
    if (this.#shattering !== undefined || end - this.#firstWhole < count) return undefined
    for (let n = 0; n < RUN_TRIES; n++) {
      if (this.#cursor + count > end) this.#cursor = this.#firstWhole
      const first = this.#cursor
      let index = first + count - 1
      while (index >= first && !this.#blocks.has(index)) index--
      this.#cursor = index < first ? first + count : index + 1
      if (index < first) return { start: first * BLOCK_FRAMES, end: (first + count) * BLOCK_FRAMES }
    }
    return undefined
  }

  /** Free frames below the frame `limit`. */
  free(limit = this.end): number {
    if (limit >= this.end && this.#shattering === undefined) {
      const touched = this.#blocks.size - this.#edges
      return this.#knownFree + (this.#endWhole - this.#firstWhole - touched) * BLOCK_FRAMES
    }
    const below = Math.floor(Math.min(limit, this.end) / BLOCK_FRAMES)
    let frames = 0
    for (const [block, times] of this.#census(below)) frames += block.freeFrames * times
    if (limit >= this.end) return frames + (this.#blocks.get(below)?.freeFrames ?? 0)
    return frames + (this.#peek(below)?.freeBelow(limit - below * BLOCK_FRAMES) ?? 0)
  }

  counts(): FrameCounts {
    let free = 0
    let held = 0
    const chunks = new Array<number>(MAX_ORDER + 1).fill(0)
    for (const [block, times] of this.#census(Math.ceil(this.end / BLOCK_FRAMES))) {
      free += block.freeFrames * times
      held += block.heldFrames * times
      for (let order = 0; order <= MAX_ORDER; order++) chunks[order]! += block.chunks(order) * times
    }
    return { free, held, chunks }
  }

  /** Holds free frames, until `mend`, so that no free run is longer than `longest` frames, a power of two. */
  shatter(longest: number): void {
    const shattering = new Shattering(longest)
    for (const block of this.#blocks.values()) this.#hold(block, shattering)
    this.#shattering = shattering
  }

  mend(): void {
    this.#shattering = undefined
    for (const block of this.#blocks.values()) {
      const { orders, freeFrames } = block
      block.unhold()
      this.#note(block, orders, freeFrames)
      this.#closeWhole(block)
    }
  }

  #fromLists(order: number, below: number, avoid: Avoid | undefined): number | undefined {
    for (let chunk = order; chunk <= MAX_ORDER; chunk++) {
      for (let n = 0; n < TRIES; n++) {
        const block = this.#lists.pick(chunk, below, this.#random)
        if (block === undefined) break
        const start = block.first + block.pick(chunk, order, this.#random)
        if (!this.#avoided(start, order, avoid)) return start
      }
    }
    return undefined
  }

  #fromUntouched(order: number, below: number, avoid: Avoid | undefined): number | undefined {
    const shattering = this.#shattering
    // Every second block may have lost a frame, hence at most some openings of blocks that are of no use.
    if (shattering !== undefined && shattering.longest < 2 ** order) return undefined
    for (let n = 0; n < TRIES; ) {
      const index = this.#untouched(below)
      if (index === undefined) return undefined
      if (shattering?.shape(index) !== undefined) {
        const block = this.#block(index)
        if (block.orders >> order === 0) continue
        const start = this.#fromLists(order, below, avoid)
        if (start !== undefined) return start
      } else {
        const start = index * BLOCK_FRAMES + this.#random(BLOCK_FRAMES >> order) * 2 ** order
        if (!this.#avoided(start, order, avoid)) return start
      }
      n++
    }
    return undefined
  }

  #avoided(start: number, order: number, avoid: Avoid | undefined): boolean {
    if (!avoid?.(start, start + 2 ** order)) return false
    this.#spare ??= start
    return true
  }

  /** The index of a block that is not there as an object. */
  #untouched(below: number): number | undefined {
    const count = Math.min(below, this.#endWhole) - this.#firstWhole
    if (count <= 0) return undefined
    for (let n = 0; n < 16; n++) {
      const index = this.#firstWhole + this.#random(count)
      if (!this.#blocks.has(index)) return index
    }
    const start = this.#random(count)
    for (let i = 0; i < count; i++) {
      const index = this.#firstWhole + ((start + i) % count)
      if (!this.#blocks.has(index)) return index
    }
    return undefined
  }

  /** The block of this index, made into an object if it is not one. */
  #block(index: number): PageBlock {
    const known = this.#blocks.get(index)
    if (known !== undefined) return known
    const block = this.#fresh(index)
    this.#blocks.set(index, block)
    this.#note(block, 0, 0)
    return block
  }

  /** A block as it is while nobody touches it. */
  #fresh(index: number): PageBlock {
    const block = new PageBlock(index)
    const from = Math.max(this.start - block.first, 0)
    block.free(from, Math.min(this.end - block.first, BLOCK_FRAMES))
    const shape = this.#shattering?.shape(index)
    if (shape !== undefined) block.hold(shape)
    return block
  }

  #peek(index: number): PageBlock | undefined {
    const inside = index >= this.#firstWhole && index < this.#endWhole
    return this.#blocks.get(index) ?? (inside ? this.#fresh(index) : undefined)
  }

  /** To be called after a block has changed, with what it had before. */
  #note(block: PageBlock, orders: number, freeFrames: number): void {
    this.#knownFree += block.freeFrames - freeFrames
    this.#lists.refile(block, orders)
  }

  /** Forgets a block that is as it would be if nobody had touched it. */
  #closeWhole(block: PageBlock): void {
    if (block.freeFrames < BLOCK_FRAMES || this.#shattering !== undefined) return
    const { orders } = block
    block.orders = 0
    this.#lists.refile(block, orders)
    this.#knownFree -= block.freeFrames
    this.#blocks.delete(block.index)
  }

  #hold(block: PageBlock, shattering: Shattering): void {
    const shape = shattering.shape(block.index)
    if (shape === undefined) return
    const { orders, freeFrames } = block
    block.hold(shape)
    this.#note(block, orders, freeFrames)
  }

  #change({ start, end }: FrameRun, change: 'take' | 'free'): void {
    for (let at = start; at < end; ) {
      const block = this.#block(Math.floor(at / BLOCK_FRAMES))
      const to = Math.min(end - block.first, BLOCK_FRAMES)
      const { orders, freeFrames } = block
      block[change](at - block.first, to)
      this.#note(block, orders, freeFrames)
      this.#closeWhole(block)
      at = block.first + to
    }
  }

  /** Every block with an index below `below`, blocks that are alike and untouched as one with their number. */
  *#census(below: number): Generator<readonly [PageBlock, number]> {
    const end = Math.max(this.#firstWhole, Math.min(below, this.#endWhole))
    let rest = end - this.#firstWhole
    const shapes = this.#shattering?.shapes ?? new Map<number, Int32Array>()
    const period = this.#shattering?.period ?? 1
    const touched = new Map<number, number>()
    for (const block of this.#blocks.values()) {
      if (block.index >= below) continue
      yield [block, 1]
      if (block.index < this.#firstWhole || block.index >= end) continue
      rest--
      const place = block.index % period
      if (shapes.has(place)) touched.set(place, (touched.get(place) ?? 0) + 1)
    }
    for (const place of shapes.keys()) {
      const upTo = (index: number) => Math.ceil(Math.max(0, index - place) / period)
      const times = upTo(end) - upTo(this.#firstWhole) - (touched.get(place) ?? 0)
      rest -= times
      if (times > 0) yield [this.#alike(place), times]
    }
    const whole = new PageBlock(0)
    whole.free(0, BLOCK_FRAMES)
    if (rest > 0) yield [whole, rest]
  }

  #alike(place: number): PageBlock {
    const block = new PageBlock(place)
    block.free(0, BLOCK_FRAMES)
    block.hold(this.#shattering!.shape(place)!)
    return block
  }

  /** Free runs, ascending, which may be next to each other. */
  *#parts(most: number): Generator<FrameRun> {
    const touched = [...this.#blocks.keys()].sort((a, b) => a - b)
    let at = this.#firstWhole
    let left = most
    for (const index of touched) {
      yield* this.#untouchedRuns(at, index, left)
      left = Math.max(1, left - this.#periods(at, index))
      const block = this.#blocks.get(index)!
      for (let from = block.nextFree(0); from < BLOCK_FRAMES; ) {
        const to = block.nextTaken(from)
        yield { start: block.first + from, end: block.first + to }
        from = block.nextFree(to)
      }
      at = Math.max(at, index + 1)
    }
    yield* this.#untouchedRuns(at, this.#endWhole, left)
  }

  /** Periods of a fragmentation in the blocks of these indices. */
  #periods(from: number, to: number): number {
    if (this.#shattering === undefined || from >= to) return 0
    return Math.floor(((to - from) * BLOCK_FRAMES) / (2 * this.#shattering.longest))
  }

  *#untouchedRuns(from: number, to: number, most: number): Generator<FrameRun> {
    if (from >= to) return
    const run = { start: from * BLOCK_FRAMES, end: to * BLOCK_FRAMES }
    if (this.#shattering === undefined) yield run
    else yield* this.#shattering.runs(run, most)
  }
}
