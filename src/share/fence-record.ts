import { getText, setText } from './handle.ts'

/** A fence as it stands in a message: fixed size, little-endian; docs/protocol.md. */
export { FENCE_BYTES } from '../transport/packet.ts'

/** Bits of a record's flags. */
export const FenceFlag = {
  /** Has signalled: no descriptors. Without it a page of timelines and an end come along. */
  signalled: 1,
  /** A sync file of the kernel comes along. */
  kernel: 2,
} as const

export interface FenceRecord {
  /** Which of the message's sync files it belongs to. */
  readonly file: number
  readonly flags: number
  readonly slot: number
  readonly contextLow: number
  readonly contextHigh: number
  readonly seqno: number
  /** Positive errno of one that has failed; 0. */
  readonly error: number
  /** Nanoseconds of CLOCK_MONOTONIC; 0 while pending. */
  readonly timestamp: bigint
  readonly timelineName: string
  readonly fileName: string
}

const NAME = 32

export function writeFenceRecord(view: DataView, at: number, record: FenceRecord): void {
  view.setUint16(at, record.file, true)
  view.setUint16(at + 2, record.flags, true)
  view.setUint32(at + 4, record.slot, true)
  view.setUint32(at + 8, record.contextLow, true)
  view.setUint32(at + 12, record.contextHigh, true)
  view.setUint32(at + 16, record.seqno, true)
  view.setUint32(at + 20, record.error, true)
  view.setBigUint64(at + 24, record.timestamp, true)
  setText(view, at + 32, NAME, record.timelineName)
  setText(view, at + 64, NAME, record.fileName)
}

/** The record at a place whose bytes are there. */
export function readFenceRecord(view: DataView, at: number): FenceRecord {
  return {
    file: view.getUint16(at, true),
    flags: view.getUint16(at + 2, true),
    slot: view.getUint32(at + 4, true),
    contextLow: view.getUint32(at + 8, true),
    contextHigh: view.getUint32(at + 12, true),
    seqno: view.getUint32(at + 16, true),
    error: view.getUint32(at + 20, true),
    timestamp: view.getBigUint64(at + 24, true),
    timelineName: getText(view, at + 32, NAME),
    fileName: getText(view, at + 64, NAME),
  }
}
