import { type BracketFaults, faultsFrom } from '../dmabuf/bracket-faults.ts'
import {
  HOLDER_MAGIC,
  HOLDER_SEGMENT_BYTES,
  HOLDER_VERSION,
  SLOT_WORDS,
  SLOTS,
  Slot,
} from '../dmabuf/words.ts'
import { limits } from '../internal/limits.ts'
import { admitSegment } from '../memory/gate.ts'
import { mapSegment } from '../memory/segment.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'

interface ShownPage {
  readonly words: SharedWords
  readonly mapping: Mapping
}

/** The pages that a holder shows to this exporter, mapped for reading: it alone writes them. */
export class ShownPages {
  readonly #pages: ShownPage[] = []

  /** Whether a slot lies in a page that is there. */
  has(slot: number): boolean {
    return slot < this.#pages.length * SLOTS
  }

  /** Consumes `fd`; -1: there was none. Returns what is wrong. */
  add(fd: number): string | undefined {
    if (fd < 0) return 'a page without its descriptor'
    const native = addon()
    if (this.#pages.length >= limits.maxHolderSegments) {
      native.closeLater([fd])
      return `more than ${limits.maxHolderSegments} pages`
    }
    const facts = admitSegment(fd, HOLDER_SEGMENT_BYTES)
    if (typeof facts === 'string') {
      native.closeLater([fd])
      return facts
    }
    let page: ShownPage
    try {
      page = mapSegment(fd, HOLDER_SEGMENT_BYTES)
    } finally {
      native.close(fd)
    }
    this.#pages.push(page)
    const version = page.words.get(1) & 0xffff
    if (page.words.get(0) !== HOLDER_MAGIC || version !== HOLDER_VERSION)
      return 'a page without its magic word'
    return undefined
  }

  /** Open brackets, read once. A count beyond the limit is the holder's lie and counts as none. */
  openBrackets(slot: number): number {
    return bounded(this.#word(slot, Slot.count))
  }

  openWriteBrackets(slot: number): number {
    return bounded(this.#word(slot, Slot.writers))
  }

  /** Generation of the storage that the holder says it maps. */
  mapped(slot: number): number {
    return this.#word(slot, Slot.mapped)
  }

  /** What went wrong with its brackets, as it says. */
  faults(slot: number): BracketFaults {
    return faultsFrom((index) => this.#word(slot, Slot.faults + index))
  }

  close(): void {
    for (const page of this.#pages) page.mapping.close()
    this.#pages.length = 0
  }

  #word(slot: number, word: number): number {
    const page = this.#pages[Math.floor(slot / SLOTS)]
    return page === undefined ? 0 : page.words.load((1 + (slot % SLOTS)) * SLOT_WORDS + word)
  }
}

function bounded(count: number): number {
  return count > limits.maxOpenBrackets ? 0 : count
}
