import { HOLDER_MAGIC, HOLDER_SEGMENT_BYTES, HOLDER_VERSION, SLOT_WORDS, SLOTS } from '../dmabuf/words.ts'
import { createSegment, type OwnSegment } from '../memory/segment.ts'
import { clearWords, type SharedWords } from '../memory/shared-words.ts'
import { addon } from '../native/load.ts'

/** A slot of a holder page: where this environment counts its brackets on one buffer. */
export interface HolderSlot {
  readonly words: SharedWords
  readonly base: number
  /** Number across all pages of the connection, as the exporter is told. */
  readonly number: number
}

/** The pages that this environment shows to one exporter: it alone writes them, the exporter reads. */
export class HolderPages {
  readonly #segments: OwnSegment[] = []
  readonly #free: number[] = []
  readonly #added: (fd: number) => void
  #used = 0

  /** `added` is told of each new page's descriptor, borrowed, before a slot of it is given out. */
  constructor(added: (fd: number) => void) {
    this.#added = added
  }

  get descriptors(): number[] {
    return this.#segments.map((segment) => segment.fd)
  }

  take(): HolderSlot {
    const number = this.#free.pop() ?? this.#used
    const page = Math.floor(number / SLOTS)
    const segment = this.#segments[page] ?? this.#addSegment()
    const base = (1 + (number % SLOTS)) * SLOT_WORDS
    clearWords(segment.words, base, base + SLOT_WORDS)
    if (number === this.#used) this.#used++
    return { words: segment.words, base, number }
  }

  give(slot: HolderSlot): void {
    clearWords(slot.words, slot.base, slot.base + SLOT_WORDS)
    this.#free.push(slot.number)
  }

  close(): void {
    for (const segment of this.#segments) {
      segment.mapping.close()
      addon().close(segment.fd)
    }
    this.#segments.length = 0
  }

  #addSegment(): OwnSegment {
    const segment = createSegment('dmabuf-holder', HOLDER_SEGMENT_BYTES)
    segment.words.set(0, HOLDER_MAGIC)
    segment.words.set(1, HOLDER_VERSION | ((SLOT_WORDS * 4) << 16))
    segment.words.set(2, SLOTS)
    this.#segments.push(segment)
    this.#added(segment.fd)
    return segment
  }
}
