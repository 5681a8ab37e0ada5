import { PAGE_SIZE } from '../dma/address.ts'
import type { Segment } from '../dma/constraints.ts'
import type { HostMapping } from '../dmabuf/attachment-host.ts'

/**
 * Puts the table of a buffer together from the messages it comes in, and believes none of it: what is too short, too long
 * or out of order is an error, as soon as it is there.
 */
export class SegmentCollector {
  readonly #byteLength: number
  readonly #segments: Segment[] = []
  /** Bytes of the segments so far. */
  #bytes = 0
  #first: { readonly offset: number; readonly generation: number } | undefined

  constructor(byteLength: number) {
    this.#byteLength = byteLength
  }

  /** The whole table, when this was its last part; or what is wrong. */
  add(
    segments: readonly Segment[],
    left: number,
    offset: number,
    generation: number,
  ): HostMapping | undefined | string {
    this.#first ??= { offset, generation }
    if (this.#first.offset !== offset || this.#first.generation !== generation)
      return 'a table of two buffers'
    const end = offset + this.#byteLength
    // A segment is whole pages, so that there can be no more of them than pages.
    if (this.#segments.length + segments.length > end / PAGE_SIZE + 1)
      return 'a table of more segments than pages'
    for (const segment of segments) {
      if (this.#bytes >= end) return 'a table that goes on behind its buffer'
      this.#segments.push(segment)
      this.#bytes += segment.length
    }
    const begin = this.#segments[0]
    if (begin === undefined || offset >= begin.length) return 'a table whose buffer does not begin in it'
    if (left > 0) return undefined
    if (this.#bytes < end) return 'a table that ends before its buffer'
    return { segments: this.#segments, offset, generation }
  }
}
