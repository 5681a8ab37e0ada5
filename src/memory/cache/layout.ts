import { ArrayWords, type SharedWords } from '../shared-words.ts'

/** Words of the header of the line states. Fixed once the buffer is made, but for the last two, which are counters. */
export const CacheHeader = {
  magic: 0,
  /** Bytes of a line. */
  lineSize: 1,
  /** 1 when the adversary is at work. */
  seeded: 2,
  seed: 3,
  /** Moments that have passed. */
  moments: 4,
  /** Tables mapped by devices that do not see the CPU's caches. */
  mapped: 5,
} as const

export const CACHE_MAGIC = 0x4c43_4d44
export const HEADER_BYTES = 64

export const DEFAULT_LINE_SIZE = 64
export const LEAST_LINE_SIZE = 16
export const MOST_LINE_SIZE = 4096

/** Where in one file the parts of a non-coherent buffer lie: cache, twin, memory, header and line states. */
export interface CacheLayout {
  readonly lineSize: number
  /** Bytes of the buffer. */
  readonly byteLength: number
  /** Bytes of each of the first three parts: the buffer in whole pages. The cache is at 0. */
  readonly region: number
  readonly twin: number
  readonly memory: number
  readonly header: number
  /** One byte for each line of a region. */
  readonly states: number
  /** How many lines a region has. */
  readonly lines: number
  readonly total: number
}

/** `pageSize` is the machine's, or anything that is a multiple of the line size where nothing is mapped. */
export function cacheLayout(byteLength: number, lineSize: number, pageSize: number): CacheLayout {
  const whole = (bytes: number) => Math.ceil(bytes / pageSize) * pageSize
  const region = whole(byteLength)
  const lines = region / lineSize
  return {
    lineSize,
    byteLength,
    region,
    twin: region,
    memory: 2 * region,
    header: 3 * region,
    states: 3 * region + HEADER_BYTES,
    lines,
    total: 3 * region + whole(HEADER_BYTES + lines),
  }
}

/** Whether a line may have this many bytes: a power of two. */
export function isLineSize(bytes: number): boolean {
  return bytes >= LEAST_LINE_SIZE && bytes <= MOST_LINE_SIZE && (bytes & (bytes - 1)) === 0
}

/** What there is of a non-coherent buffer wherever its bytes may lie. */
export interface CacheHead {
  readonly layout: CacheLayout
  readonly header: SharedWords
}

/** The parts of a non-coherent buffer as arrays over one ArrayBuffer: a mapping, or any memory in a test or a web page. */
export interface CacheMemory extends CacheHead {
  /** What CPUs see. */
  readonly cache: Uint8Array
  /** What each line was when it was last filled or cleaned: one that differs from it is dirty. */
  readonly twin: Uint8Array
  /** What devices see. */
  readonly memory: Uint8Array
  /** 1 for a line that is in the cache, 0 for one that is not. */
  readonly states: Uint8Array
}

export function cacheMemory(file: ArrayBufferLike, layout: CacheLayout): CacheMemory {
  const { region, twin, memory, header, states, lines } = layout
  return {
    layout,
    cache: new Uint8Array(file, 0, region),
    twin: new Uint8Array(file, twin, region),
    memory: new Uint8Array(file, memory, region),
    states: new Uint8Array(file, states, lines),
    header: new ArrayWords(new Uint32Array(file, header, HEADER_BYTES / 4)),
  }
}

/** Fills the header of a new buffer; all else is zero, which is a buffer of zeros of which nothing is cached. */
export function formatCache(header: SharedWords, lineSize: number, seed: number | undefined): void {
  header.set(CacheHeader.magic, CACHE_MAGIC)
  header.set(CacheHeader.lineSize, lineSize)
  header.set(CacheHeader.seeded, seed === undefined ? 0 : 1)
  header.set(CacheHeader.seed, seed ?? 0)
}
