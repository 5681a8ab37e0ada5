/** What reaches words by calls: a mapping of the addon, which this file does not know. */
interface WordCalls {
  loadWord(index: number): number
}

/**
 * 32-bit words that others see too: of a page that processes share, or of this environment's own memory. The methods are
 * those of `Atomics`, but `get`, `set` and `count` promise no order.
 * But for those of `get`, an index is one of a word that is there.
 */
export interface SharedWords {
  /** What the addon takes for these words. */
  readonly source: Uint32Array | WordCalls
  /** 0 where there is no such word, or the page is not mapped any more. */
  get(index: number): number
  /** Does nothing when the page is not mapped any more. */
  set(index: number, value: number): void
  /** Adds to a word that nobody else writes; what is there now. */
  count(index: number, value: number): number
  load(index: number): number
  store(index: number, value: number): void
  /** What was there before. */
  add(index: number, value: number): number
  or(index: number, value: number): void
}

/** Words of an ArrayBuffer: all that most processes ever have, and cheap because of that. */
export class ArrayWords implements SharedWords {
  readonly source: Uint32Array

  constructor(source: Uint32Array) {
    this.source = source
  }

  get(index: number): number {
    return this.source[index] ?? 0
  }

  set(index: number, value: number): void {
    this.source[index] = value
  }

  count(index: number, value: number): number {
    this.source[index]! += value
    return this.source[index]!
  }

  load(index: number): number {
    return Atomics.load(this.source, index)
  }

  store(index: number, value: number): void {
    Atomics.store(this.source, index, value)
  }

  add(index: number, value: number): number {
    return Atomics.add(this.source, index, value)
  }

  or(index: number, value: number): void {
    Atomics.or(this.source, index, value)
  }
}

/** Sets words [from, to) to 0. */
export function clearWords(words: SharedWords, from: number, to: number): void {
  for (let index = from; index < to; index++) words.set(index, 0)
}
