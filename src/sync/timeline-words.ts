import { errno } from '../internal/errors.ts'
import { clearWords, type SharedWords } from '../memory/shared-words.ts'
import { isLater, seqnoAfter } from './seqno.ts'

/**
 * Layout of a timeline page in 32-bit words; docs/protocol.md has the same in bytes. Only the signaller writes it. Words that
 * both sides look at are accessed with `Atomics`.
 */
export const TIMELINE_MAGIC = 0x5442_4d44
export const TIMELINE_PAGE_BYTES = 65_536
export const TIMELINE_VERSION = 1
const SLOT_WORDS = 32
export const TIMELINE_SLOTS = 511
/** Errors of one timeline that are remembered for those who look late. */
const ERRORS = 12
/** So many numbers back they are remembered at least; looked at when a quarter of all numbers has passed. */
const MEMORY = 2 ** 29

/** Words of the header. */
export const TimelineHeader = {
  magic: 0,
  /** Version in the low half, slot size in bytes in the high half. */
  version: 1,
  slots: 2,
  /** 1 when the environment that writes the page has ended: what is pending stays so. */
  ended: 3,
} as const

/** Words of a slot. */
const Slot = {
  /** Reached so far; stored after everything else. */
  seqno: 0,
  contextLow: 1,
  contextHigh: 2,
  /** Errno (positive) of the fences behind `seqno`, once the timeline is closed; 0 before. */
  closed: 3,
  /** When `seqno` was reached. */
  timestampLow: 4,
  timestampHigh: 5,
  /** How many errors there were; the last {@link ERRORS} follow, as sequence number and errno. */
  errors: 6,
  /** The latest fence whose error has lost its place to another one; meaningful with more errors than places. */
  forgotten: 7,
  firstError: 8,
} as const

function baseOf(slot: number): number {
  return (1 + slot) * SLOT_WORDS
}

export function writeTimelineHeader(words: SharedWords): void {
  words.set(TimelineHeader.version, TIMELINE_VERSION | ((SLOT_WORDS * 4) << 16))
  words.set(TimelineHeader.slots, TIMELINE_SLOTS)
  words.set(TimelineHeader.magic, TIMELINE_MAGIC)
}

export function isTimelinePage(words: SharedWords): boolean {
  const { magic, version, slots } = TimelineHeader
  return (
    words.get(magic) === TIMELINE_MAGIC &&
    words.get(version) === (TIMELINE_VERSION | ((SLOT_WORDS * 4) << 16)) &&
    words.get(slots) === TIMELINE_SLOTS
  )
}

/** Gives a slot to a timeline. */
export function writeTimeline(
  words: SharedWords,
  slot: number,
  timeline: { contextLow: number; contextHigh: number; seqno: number },
): void {
  const base = baseOf(slot)
  // Between the two, a reader of the timeline that had the slot before must not take it for its own.
  words.store(base + Slot.contextLow, 0)
  words.store(base + Slot.contextHigh, 0)
  clearWords(words, base + Slot.closed, base + SLOT_WORDS)
  words.store(base + Slot.seqno, timeline.seqno)
  words.store(base + Slot.contextHigh, timeline.contextHigh)
  words.store(base + Slot.contextLow, timeline.contextLow)
}

/** The fence with this number fails; becomes true with the next {@link writeReached}. `error` is negative. */
export function writeError(words: SharedWords, slot: number, seqno: number, error: number): void {
  const base = baseOf(slot)
  const count = words.get(base + Slot.errors)
  const at = base + Slot.firstError + (count % ERRORS) * 2
  // A reader that misses the old entry finds that there is something to miss.
  if (count >= ERRORS && words.get(at + 1) !== 0) {
    words.store(base + Slot.forgotten, words.get(at))
  }
  words.store(base + Slot.errors, (count + 1) >>> 0)
  // A reader that is in the middle of the entry finds no error in it, rather than the wrong one.
  words.store(at + 1, 0)
  words.store(at, seqno)
  words.store(at + 1, -error)
}

export function writeReached(words: SharedWords, slot: number, seqno: number, timestamp: bigint): void {
  const base = baseOf(slot)
  const quarter = words.get(base + Slot.seqno) >>> 30
  if (quarter !== seqno >>> 30 && words.get(base + Slot.errors) !== 0) forgetOld(words, base, seqno)
  words.store(base + Slot.timestampLow, Number(timestamp & 0xffff_ffffn))
  words.store(base + Slot.timestampHigh, Number(timestamp >> 32n))
  words.store(base + Slot.seqno, seqno)
}

/** Numbers wrap around, and must not meet errors of the last time: whoever looks so late is told that they are forgotten. */
function forgetOld(words: SharedWords, base: number, seqno: number): void {
  const isOld = (other = 0) => (seqno - other) >>> 0 > MEMORY
  const count = words.get(base + Slot.errors)
  let forgets = hasForgotten(count) && isOld(words.get(base + Slot.forgotten))
  for (let at = base + Slot.firstError; at < base + SLOT_WORDS; at += 2) {
    if (words.get(at + 1) === 0 || !isOld(words.get(at))) continue
    words.store(at + 1, 0)
    forgets = true
  }
  if (!forgets) return
  words.store(base + Slot.forgotten, seqnoAfter(seqno, -MEMORY))
  words.store(base + Slot.errors, Math.max(count, ERRORS + 1))
}

/** Fences behind what was reached fail with this error, for good. */
export function writeClosed(words: SharedWords, slot: number, error: number): void {
  words.store(baseOf(slot) + Slot.closed, -error)
}

/** What a page says of a fence that has signalled; the time only where it is known. */
export interface Reached {
  readonly error: number | undefined
  readonly timestamp: bigint | undefined
}

export interface FencePlace {
  readonly slot: number
  readonly contextLow: number
  readonly contextHigh: number
  readonly seqno: number
}

/** `undefined`: pending. Every word is read once, and believed only as far as this fence goes. */
export function readFence(
  words: SharedWords,
  { slot, contextLow, contextHigh, seqno }: FencePlace,
): Reached | undefined {
  const base = baseOf(slot)
  const reached = words.load(base + Slot.seqno)
  const closed = words.load(base + Slot.closed)
  let found: Reached | undefined
  if (!isLater(seqno, reached)) {
    const error = errorOf(words, base, seqno)
    found = { error, timestamp: reached === seqno ? timestampOf(words, base, reached) : undefined }
  } else if (closed !== 0) found = { error: checkedError(closed), timestamp: undefined }
  const same =
    words.load(base + Slot.contextLow) === contextLow && words.load(base + Slot.contextHigh) === contextHigh
  // Another timeline has the slot: this one was closed long ago, and how its fences ended is forgotten.
  return same ? found : { error: -errno.ENOENT, timestamp: undefined }
}

function errorOf(words: SharedWords, base: number, seqno: number): number | undefined {
  const count = words.load(base + Slot.errors)
  for (let index = 0; index < Math.min(count, ERRORS); index++) {
    const at = base + Slot.firstError + index * 2
    if (words.load(at) !== seqno) continue
    const error = words.load(at + 1)
    if (error !== 0 && words.load(at) === seqno) return checkedError(error)
  }
  // Whether this one failed is not known any more, and nobody must be told that it did not.
  if (!hasForgotten(words.load(base + Slot.errors))) return undefined
  return isLater(seqno, words.load(base + Slot.forgotten)) ? undefined : -errno.ENODATA
}

/** Of how many errors some have lost their places. */
function hasForgotten(errors = 0): boolean {
  return errors > ERRORS
}

function timestampOf(words: SharedWords, base: number, reached: number): bigint | undefined {
  const low = words.load(base + Slot.timestampLow)
  const high = words.load(base + Slot.timestampHigh)
  if (words.load(base + Slot.seqno) !== reached) return undefined
  return (BigInt(high) << 32n) | BigInt(low)
}

/** A stranger's number. */
function checkedError(value: number): number {
  return value >= 1 && value <= 4095 ? -value : -errno.EINVAL
}
