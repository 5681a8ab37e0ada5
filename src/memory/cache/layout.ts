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

/** `DMC2`; `DMCL` had a copy of each line in place of its signature. */
export const CACHE_MAGIC = 0x3243_4d44
export const HEADER_BYTES = 64
const SIGNATURE_BYTES = 8

export const DEFAULT_LINE_SIZE = 64
export const LEAST_LINE_SIZE = 16
export const MOST_LINE_SIZE = 4096

/** Lines are locked together in blocks of so many bytes. */
const BLOCK = MOST_LINE_SIZE

/** Where in one file the parts of a non-coherent buffer lie. The cache is at 0. */
export interface CacheLayout {
  readonly lineSize: number
  /** Bytes of the buffer. */
  readonly byteLength: number
  /** Bytes of cache and memory each: the buffer in whole pages. */
  readonly region: number
  readonly memory: number
  readonly header: number
  /** 8 bytes for each line of a region. */
  readonly signatures: number
  /** 4 bytes for each 4096 of a region, for the native operations: which process is at these lines. */
  readonly locks: number
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
  const header = 2 * region
  const signatures = header + HEADER_BYTES
  const locks = signatures + SIGNATURE_BYTES * lines
  const states = locks + 4 * Math.ceil(region / BLOCK)
  const total = whole(states + lines)
  return { lineSize, byteLength, region, memory: region, header, signatures, locks, states, lines, total }
}

/** Whether a line may have this many bytes: a power of two. */
export function isLineSize(bytes: number): boolean {
  return bytes >= LEAST_LINE_SIZE && bytes <= MOST_LINE_SIZE && (bytes & (bytes - 1)) === 0
}

/** The parts of a non-coherent buffer as arrays over one ArrayBuffer: a mapping, or any memory in a test or a web page. */
export interface CacheMemory {
  readonly layout: CacheLayout
  /** What CPUs see. */
  readonly cache: Uint8Array
  /** What devices see. */
  readonly memory: Uint8Array
  /** Of each line as it was when it was last filled or cleaned: one that has another signature now is dirty. See `sign`. */
  readonly signatures: Uint32Array
  /** 1 for a line that is in the cache, 0 for one that is not. */
  readonly states: Uint8Array
  readonly header: Uint32Array
}

export function cacheMemory(file: ArrayBufferLike, layout: CacheLayout): CacheMemory {
  const { region, memory, header, signatures, states, lines } = layout
  return {
    layout,
    cache: new Uint8Array(file, 0, region),
    memory: new Uint8Array(file, memory, region),
    signatures: new Uint32Array(file, signatures, (lines * SIGNATURE_BYTES) / 4),
    states: new Uint8Array(file, states, lines),
    header: new Uint32Array(file, header, HEADER_BYTES / 4),
  }
}

/** Fills the header of a new buffer; all else is zero, which is a buffer of zeros of which nothing is cached. */
export function formatCache(header: Uint32Array, lineSize: number, seed: number | undefined): void {
  header[CacheHeader.magic] = CACHE_MAGIC
  header[CacheHeader.lineSize] = lineSize
  header[CacheHeader.seeded] = seed === undefined ? 0 : 1
  header[CacheHeader.seed] = seed ?? 0
}
