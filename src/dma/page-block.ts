import type { Random } from '../internal/random.ts'

/** The largest order of a buddy allocator, the kernel's `MAX_PAGE_ORDER`: 4 MiB. */
export const MAX_ORDER = 10
/** Frames of a block of the largest order. */
export const BLOCK_FRAMES = 2 ** MAX_ORDER

const WORDS = BLOCK_FRAMES / 32
/** Orders of chunks that lie inside one word of frames; those from here on are words in a row. */
const WORD_ORDER = 5
/** Where chunks of 2^level bits may begin in a word. */
const aligned = [-1, 0x55555555, 0x11111111, 0x01010101, 0x00010001, 1]

/**
 * 1024 frames, of which some are free. Buddies merge at once in a buddy allocator, so its free chunks are exactly the
 * largest aligned ones that the free frames make up; they are read off a bitmap here, and need no lists to be split and
 * merged in.
 */
export class PageBlock {
  /** Which one: its first frame divided by 1024. */
  readonly index: number
  /** Where the zone's lists of free chunks have this block, by order. */
  readonly slots: number[] = new Array<number>(MAX_ORDER + 1).fill(0)
  /** Bit n: there is a free chunk of order n. */
  orders = 0
  freeFrames = 0
  /** One bit for each frame, set when it is free. */
  readonly #free = new Int32Array(WORDS)
  /** By order, the words that have a free chunk of just this order. */
  readonly #words = new Int32Array(WORD_ORDER)
  /** The words that are wholly free. */
  #whole = 0
  /** The frames that a fragmentation keeps from being allocated. */
  #held: Int32Array | undefined

  constructor(index: number) {
    this.index = index
  }

  get first(): number {
    return this.index * BLOCK_FRAMES
  }

  get heldFrames(): number {
    return this.#held?.reduce((sum, word) => sum + bitCount(word), 0) ?? 0
  }

  free(from: number, to: number): void {
    for (let word = from >> 5; word << 5 < to; word++) {
      this.#set(word, this.#free[word]! | bitsOf(word, from, to))
    }
    this.#summarize()
  }

  take(from: number, to: number): void {
    for (let word = from >> 5; word << 5 < to; word++) {
      this.#set(word, this.#free[word]! & ~bitsOf(word, from, to))
    }
    this.#summarize()
  }

  /** Keeps the free ones of these frames from being allocated. */
  hold(frames: Int32Array): void {
    this.#held = this.#free.map((free, word) => free & frames[word]!)
    for (let word = 0; word < WORDS; word++) this.#set(word, this.#free[word]! & ~frames[word]!)
    this.#summarize()
  }

  /** The inverse of {@link hold}. */
  unhold(): void {
    const held = this.#held
    if (held === undefined) return
    this.#held = undefined
    for (let word = 0; word < WORDS; word++) this.#set(word, this.#free[word]! | held[word]!)
    this.#summarize()
  }

  /** One of the places for `order` in a free chunk of order `chunk`, of which there must be one. */
  pick(chunk: number, order: number, random: Random): number {
    let at: number
    if (chunk < WORD_ORDER) {
      const word = oneBit(this.#words[chunk]!, random)
      at = word * 32 + oneBit(largest(this.#free[word]!, chunk), random)
    } else at = oneBit(largest(this.#whole, chunk - WORD_ORDER), random) * 32
    return at + random(1 << (chunk - order)) * (1 << order)
  }

  /** How many free chunks there are of just this order. */
  chunks(order: number): number {
    if (order >= WORD_ORDER) return bitCount(largest(this.#whole, order - WORD_ORDER))
    return this.#free.reduce((sum, word) => sum + bitCount(largest(word, order)), 0)
  }

  freeBelow(to: number): number {
    return this.#free.reduce((sum, free, word) => sum + bitCount(free & bitsOf(word, 0, to)), 0)
  }

  /** The first free frame from here on, or 1024. */
  nextFree(from: number): number {
    return next(this.#free, from, 0)
  }

  /** The first frame from here on that is not free, or 1024. */
  nextTaken(from: number): number {
    return next(this.#free, from, -1)
  }

  #set(word: number, free: number): void {
    this.freeFrames += bitCount(free) - bitCount(this.#free[word]!)
    this.#free[word] = free
    const bit = 1 << word
    for (let order = 0; order < WORD_ORDER; order++) {
      if (largest(free, order) !== 0) this.#words[order]! |= bit
      else this.#words[order]! &= ~bit
    }
    this.#whole = free === -1 ? this.#whole | bit : this.#whole & ~bit
  }

  #summarize(): void {
    let orders = 0
    for (let order = 0; order < WORD_ORDER; order++) if (this.#words[order] !== 0) orders |= 1 << order
    for (let order = WORD_ORDER; order <= MAX_ORDER; order++) {
      if (largest(this.#whole, order - WORD_ORDER) !== 0) orders |= 1 << order
    }
    this.orders = orders
  }
}

/** The bits of the frames from `from` up to `to` that lie in a word. */
function bitsOf(word: number, from: number, to: number): number {
  const low = Math.max(from - word * 32, 0)
  const high = Math.min(to - word * 32, 32)
  if (low >= high) return 0
  return (high === 32 ? -1 : (1 << high) - 1) & (-1 << low)
}

/** Where aligned groups of 2^level set bits begin that are not part of such a group of the next level. */
function largest(bits: number, level: number): number {
  let starts = bits
  for (let n = 0; n < level; n++) starts = paired(starts, n)
  if (level === WORD_ORDER) return starts
  const larger = paired(starts, level)
  return starts & ~(larger | (larger << (1 << level)))
}

function paired(starts: number, level: number): number {
  return starts & (starts >>> (1 << level)) & aligned[level + 1]!
}

/** The number of one of the set bits. */
function oneBit(bits: number, random: Random): number {
  let rest = bits
  for (let skip = random(bitCount(bits)); skip > 0; skip--) rest &= rest - 1
  return 31 - Math.clz32(rest & -rest)
}

function bitCount(bits: number): number {
  let n = bits - ((bits >>> 1) & 0x55555555)
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333)
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/** The first bit from here on that is set, once the words are XORed with `flip`. */
function next(words: Int32Array, from: number, flip: number): number {
  for (let word = from >> 5; word < WORDS; word++) {
    const bits = (words[word]! ^ flip) & bitsOf(word, from, BLOCK_FRAMES)
    if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits)
  }
  return BLOCK_FRAMES
}
