/**
 * The packets of a channel; docs/protocol.md has the same, byte by byte. Pure functions on bytes: little-endian,
 * every length checked against the packet's own length and a named limit before it is used.
 */
import { limits } from '../internal/limits.ts'

export const MAGIC = 0x4241_4d44
export const VERSION = 1
export const HEADER_BYTES = 32
export const HANDLE_BYTES = 96
export const FENCE_BYTES = 96

/**
 * What a packet is. A plain peer needs `hello` and `message` only; it closes the descriptors of every other type and
 * goes on.
 */
export const PacketType = {
  hello: 1,
  message: 2,
  /** The sender closes on purpose; nothing follows. */
  bye: 3,
  /** `argument` descriptors have been read: as many may be sent again. */
  credit: 4,
  /** Receiver to sender: I keep the buffer that you called `argument`; you may name it without descriptors. */
  keep: 5,
  /** Receiver to sender: I am about to let go of it. */
  forget: 6,
  /** Sender to receiver: I shall not name it any more. */
  forgotten: 7,
  /** A state segment and (flag) its door, by which later handles name their exporter as `argument`. */
  exporter: 8,
} as const

/** Bits of a hello's `argument`: the sender takes part in credits and kept names. */
export const HELLO_FULL = 1

/** Bits of an exporter packet's flags: the second descriptor is its door. */
export const EXPORTER_DOOR = 1

/** Bits of a message's flags: the JSON has binary parts or escaped keys. */
export const MESSAGE_ENCODED = 1

export interface Header {
  readonly version: number
  readonly type: number
  readonly flags: number
  readonly jsonBytes: number
  readonly handles: number
  readonly parts: number
  readonly descriptors: number
  readonly argument: number
  readonly fences: number
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

export interface HeaderInit {
  readonly type: number
  readonly flags?: number
  readonly jsonBytes?: number
  readonly handles?: number
  readonly parts?: number
  readonly descriptors?: number
  readonly argument?: number
  readonly fences?: number
}

export function writeHeader(view: DataView, init: HeaderInit): void {
  view.setUint32(0, MAGIC, true)
  view.setUint8(4, VERSION)
  view.setUint8(5, init.type)
  view.setUint16(6, init.flags ?? 0, true)
  view.setUint32(8, init.jsonBytes ?? 0, true)
  view.setUint16(12, init.handles ?? 0, true)
  view.setUint16(14, init.parts ?? 0, true)
  view.setUint32(16, init.descriptors ?? 0, true)
  view.setUint32(20, init.argument ?? 0, true)
  view.setUint16(24, init.fences ?? 0, true)
  view.setUint16(26, 0, true)
  view.setUint32(28, 0, true)
}

/** The header read last: one object for all, because a packet is done with before the next one is read. */
const lastHeader: Mutable<Header> = {
  version: 0,
  type: 0,
  flags: 0,
  jsonBytes: 0,
  handles: 0,
  parts: 0,
  descriptors: 0,
  argument: 0,
  fences: 0,
}

/**
 * The header of a packet of `length` bytes, valid until the next call, or what is wrong with it. The version is the
 * caller's to judge.
 */
export function readHeader(view: DataView, length: number): Header | string {
  if (length < HEADER_BYTES) return `a packet of ${length} bytes is shorter than a header`
  const magic = view.getUint32(0, true)
  if (magic !== MAGIC) return `a packet begins with 0x${magic.toString(16)} instead of the magic word`
  lastHeader.version = view.getUint8(4)
  lastHeader.type = view.getUint8(5)
  lastHeader.flags = view.getUint16(6, true)
  lastHeader.jsonBytes = view.getUint32(8, true)
  lastHeader.handles = view.getUint16(12, true)
  lastHeader.parts = view.getUint16(14, true)
  lastHeader.descriptors = view.getUint32(16, true)
  lastHeader.argument = view.getUint32(20, true)
  lastHeader.fences = view.getUint16(24, true)
  return lastHeader
}

/** Where the sections of a message lie. */
export interface MessageLayout {
  readonly fences: number
  readonly partLengths: number
  readonly json: number
  readonly parts: number
}

/** Checks a message's header against limits and its own length; returns the layout or what is wrong. */
export function layoutOf(header: Header, length: number): MessageLayout | string {
  if (header.handles > limits.maxBuffersPerMessage) return `${header.handles} buffers in one message`
  if (header.parts > limits.maxPartsPerMessage) return `${header.parts} parts in one message`
  if (header.fences > limits.maxFencesPerMessage) return `${header.fences} fences in one message`
  const fences = HEADER_BYTES + header.handles * HANDLE_BYTES
  const partLengths = fences + header.fences * FENCE_BYTES
  const json = partLengths + header.parts * 4
  const parts = json + header.jsonBytes
  if (parts > length) return `a message of ${length} bytes announces ${parts}`
  return { fences, partLengths, json, parts }
}
