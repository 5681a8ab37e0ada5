/**
 * Layout of the two shared pages in 32-bit words; docs/protocol.md has the same in bytes. Every word has exactly
 * one writer: the exporter writes its state segment, each holder its own holder segment. All words that both
 * sides look at are accessed with `Atomics` and are 32 bits wide, in C++ too.
 */

/** State segment: header, then records, one for each buffer of this exporter. */
export const STATE_MAGIC = 0x5342_4d44
export const STATE_SEGMENT_BYTES = 65_536
export const RECORD_WORDS = 16
export const RECORDS = 1023

/** Words of the header. */
export const StateHeader = {
  magic: 0,
  /** Version in the low half, record size in bytes in the high half. */
  version: 1,
  records: 2,
  /** Number of this segment among those of its exporter. */
  segment: 3,
  uuid: 4,
  doorDeviceLow: 8,
  doorDeviceHigh: 9,
  doorInodeLow: 10,
  doorInodeHigh: 11,
} as const

/** Words of a record, which begins at `(1 + index) * RECORD_WORDS`. */
export const StateRecord = {
  /** 1 while the storage must not be entered; always 0 for a buffer that was never placed. */
  moving: 0,
  generation: 1,
  /** Bit 0: readers have to wait for fences, bit 1: writers have. No more than a reason to ask. */
  fences: 2,
  /** Counts write brackets that died unended. */
  broken: 3,
  /** Never used again in this exporter's life; 0 in a free record. */
  idLow: 4,
  idHigh: 5,
  storageDeviceLow: 6,
  storageDeviceHigh: 7,
  storageInodeLow: 8,
  storageInodeHigh: 9,
  flags: 10,
  /** Odd while a write bracket of the exporter is open. */
  writeSequence: 11,
} as const

/** Bits of `StateRecord.flags`. A placed buffer that was fixed has both bits. */
export const RecordFlag = {
  readOnly: 1,
  revoked: 2,
  placed: 4,
  fixed: 8,
  nonCoherent: 16,
  strict: 32,
  /** The exporter has no linear mapping to give. */
  noVmap: 64,
} as const

/** Holder segment: header, then slots, one for each buffer that this holder has of any exporter. */
export const HOLDER_MAGIC = 0x4842_4d44
export const HOLDER_SEGMENT_BYTES = 65_536
export const SLOT_WORDS = 16
export const SLOTS = 1023

/** Words of a slot, which begins at `(1 + index) * SLOT_WORDS`. */
export const Slot = {
  /** Open brackets, nested ones included. */
  count: 0,
  /** How many of them write. */
  writers: 1,
  /** Odd while at least one write bracket is open. */
  writeSequence: 2,
  /** Generation of the storage that this holder maps. */
  mapped: 3,
  /** What went wrong with this holder's brackets: {@link FAULT_WORDS} counts, in the order of `BracketFaults`. */
  faults: 4,
} as const

export const FAULT_WORDS = 5

/** Of state segments. */
export const PAGE_VERSION = 1
/** Of holder segments. */
export const HOLDER_VERSION = 2
