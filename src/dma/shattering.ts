import { roundDown } from './address.ts'
import { BLOCK_FRAMES } from './page-block.ts'

/** Frames from `start` up to, not including, `end`. */
export interface FrameRun {
  readonly start: number
  readonly end: number
}

/**
 * Which frames a fragmentation holds, so that no free run is longer than `longest` frames (a power of two): in every
 * second stretch of that many frames the first and the last one. The stretches between stay whole and aligned, as
 * chunks of a buddy allocator. It is a rule and no list, so that memory which nobody has touched need not be touched.
 */
export class Shattering {
  readonly longest: number
  /** After how many blocks the rule begins anew. */
  readonly period: number
  /** The blocks in which frames are held, by their place in the period, as bitmaps of these frames. */
  readonly shapes: ReadonlyMap<number, Int32Array>

  constructor(longest: number) {
    this.longest = longest
    this.period = Math.max(1, (2 * longest) / BLOCK_FRAMES)
    const shapes = new Map<number, Int32Array>()
    for (const place of new Set([Math.floor(longest / BLOCK_FRAMES), this.period - 1])) {
      shapes.set(place, this.#shape(place * BLOCK_FRAMES))
    }
    this.shapes = shapes
  }

  /** What is held of a block, unless nothing is. */
  shape(index: number): Int32Array | undefined {
    return this.shapes.get(index % this.period)
  }

  /**
   * The free runs between the frames held, in memory of which nothing else is taken; where there are many only
   * `most` periods at either end, since those between are like them.
   */
  *runs({ start, end }: FrameRun, most: number): Generator<FrameRun> {
    const period = 2 * this.longest
    const tail = roundDown(end, period) - most * period
    const head = roundDown(start, period) + (most + 1) * period
    for (let at = start; at < end; ) {
      if (at >= head && at < tail) at = tail
      const held = Math.min(this.#nextHeld(at), end)
      if (held > at) yield { start: at, end: held }
      at = held + 1
    }
  }

  #shape(first: number): Int32Array {
    const frames = new Int32Array(BLOCK_FRAMES / 32)
    const end = first + BLOCK_FRAMES
    for (let held = this.#nextHeld(first); held < end; held = this.#nextHeld(held + 1)) {
      frames[(held - first) >> 5]! |= 1 << ((held - first) & 31)
    }
    return frames
  }

  #nextHeld(from: number): number {
    const period = 2 * this.longest
    const place = from % period
    return from - place + (place <= this.longest ? this.longest : period - 1)
  }
}
