import { systemError } from '../internal/errors.ts'
import { type FileIdentity, identityKey, inspect } from '../memory/facts.ts'
import { createSegment, type OwnSegment } from '../memory/segment.ts'
import { addon } from '../native/load.ts'
import type { TimelineCore } from './timeline-core.ts'
import {
  TIMELINE_PAGE_BYTES,
  TIMELINE_SLOTS,
  TimelineHeader,
  writeTimeline,
  writeTimelineHeader,
} from './timeline-words.ts'

/** Closed timelines whose slots stay readable before the oldest of them is used again. */
const KEPT_CLOSED = 128

/** A place in a page of this environment. */
export interface OwnSlot {
  readonly page: OwnSegment
  readonly slot: number
}

/**
 * The timelines of this environment of which a fence has left it: written here, read by everybody who has such a fence. Made
 * with the first one, and kept.
 */
class TimelinePages {
  readonly #pages: OwnSegment[] = []
  readonly #byIdentity = new Map<string, OwnSegment>()
  readonly #timelines = new Map<OwnSegment, Map<number, TimelineCore>>()
  readonly #closed: OwnSlot[] = []
  #fresh = 0

  /** Gives a timeline its slot. */
  take(core: TimelineCore): OwnSlot {
    const place = this.#place()
    const { page, slot } = place
    writeTimeline(page.words, slot, { ...contextWords(core.context), seqno: core.seqno })
    this.#timelines.get(page)?.set(slot, core)
    return place
  }

  /** The timeline is closed, which its slot says; late readers still come. */
  give(place: OwnSlot): void {
    this.#timelines.get(place.page)?.delete(place.slot)
    this.#closed.push(place)
  }

  /** The page with this identity, when it is one of this environment's. */
  find(identity: FileIdentity): OwnSegment | undefined {
    return this.#byIdentity.get(identityKey(identity))
  }

  timeline(page: OwnSegment, slot: number): TimelineCore | undefined {
    return this.#timelines.get(page)?.get(slot)
  }

  #place(): OwnSlot {
    const page = this.#pages.at(-1)
    if (page !== undefined && this.#fresh < TIMELINE_SLOTS) return { page, slot: this.#fresh++ }
    if (this.#closed.length > KEPT_CLOSED) return this.#closed.shift() as OwnSlot
    const made = this.#make()
    this.#fresh = 1
    return { page: made, slot: 0 }
  }

  #make(): OwnSegment {
    const page = createSegment('dmabuf-timelines', TIMELINE_PAGE_BYTES)
    const facts = inspect(page.fd)
    if (typeof facts === 'number') throw systemError(facts, 'fstat', 'making a page of timelines')
    writeTimelineHeader(page.words)
    addon().storeAtEnd(page.mapping, TimelineHeader.ended)
    this.#pages.push(page)
    this.#byIdentity.set(identityKey(facts), page)
    this.#timelines.set(page, new Map())
    return page
  }
}

export const timelinePages = new TimelinePages()

export function contextWords(context: number): { contextLow: number; contextHigh: number } {
  return { contextLow: context >>> 0, contextHigh: Math.floor(context / 2 ** 32) }
}
