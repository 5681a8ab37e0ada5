import { HANDLE_BYTES } from '../transport/packet.ts'

/** Bits of a handle's flags; docs/protocol.md. The descriptors follow in the order of the first two. */
export const HandleFlag = {
  storage: 1,
  leash: 2,
  /** No descriptors: the receiver said that it keeps the buffer called `name`. */
  named: 4,
  readOnly: 8,
  /** Comes again and again (a pool): worth keeping mapped between two uses. */
  recycled: 16,
  /** Nothing but storage: from a plain peer, or memory that no exporter speaks for. */
  bare: 32,
  /** No storage, or one that is no more than a fallback: the exporter gives it to those who register. */
  placed: 64,
  /** The storage that comes along is the sender's, for the case that the exporter is dead; with its generation. */
  fallback: 128,
} as const

/** How a buffer is written in a message: fixed size, little-endian. */
export interface Handle {
  readonly flags: number
  /** Index of the state segment, as an `exporter` packet has named it in this direction. */
  readonly exporter: number
  readonly record: number
  readonly generation: number
  readonly idLow: number
  readonly idHigh: number
  readonly byteLength: number
  readonly offset: number
  /** The sender's number for this buffer on this channel. */
  readonly name: number
  readonly exporterName: string
  readonly label: string
}

const EXPORTER_NAME = 48
const LABEL = 64

export function writeHandle(view: DataView, at: number, handle: Handle): void {
  view.setUint32(at, handle.flags, true)
  view.setUint32(at + 4, handle.exporter, true)
  view.setUint32(at + 8, handle.record, true)
  view.setUint32(at + 12, handle.generation, true)
  view.setUint32(at + 16, handle.idLow, true)
  view.setUint32(at + 20, handle.idHigh, true)
  setSize(view, at + 24, handle.byteLength)
  setSize(view, at + 32, handle.offset)
  view.setUint32(at + 40, handle.name, true)
  view.setUint32(at + 44, 0, true)
  setText(view, at + EXPORTER_NAME, 16, handle.exporterName)
  setText(view, at + LABEL, 32, handle.label)
}

/** A handle that is only a name: the rest is zero. */
export function writeNamed(view: DataView, at: number, flags: number, name: number): void {
  for (let word = 4; word < HANDLE_BYTES; word += 4) view.setUint32(at + word, 0, true)
  view.setUint32(at, flags, true)
  view.setUint32(at + 40, name, true)
}

/** The name of a handle that is only a name. */
export function readNamed(view: DataView, at: number): number | undefined {
  return (view.getUint32(at, true) & HandleFlag.named) === 0 ? undefined : view.getUint32(at + 40, true)
}

/** The handle at a place whose {@link HANDLE_BYTES} bytes are there, or what is wrong with it. */
export function readHandle(view: DataView, at: number): Handle | string {
  const byteLength = getSize(view, at + 24)
  const offset = getSize(view, at + 32)
  const flags = view.getUint32(at, true)
  if (byteLength === 0) return 'a buffer of no bytes'
  if (!Number.isSafeInteger(byteLength) || !Number.isSafeInteger(offset + byteLength)) {
    return 'a buffer of more than 2^53 bytes'
  }
  return {
    flags,
    exporter: view.getUint32(at + 4, true),
    record: view.getUint32(at + 8, true),
    generation: view.getUint32(at + 12, true),
    idLow: view.getUint32(at + 16, true),
    idHigh: view.getUint32(at + 20, true),
    byteLength,
    offset,
    name: view.getUint32(at + 40, true),
    exporterName: getText(view, at + EXPORTER_NAME, 16),
    label: getText(view, at + LABEL, 32),
  }
}

export { HANDLE_BYTES }

export function setSize(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

export function getSize(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** UTF-8 padded with NUL; the last byte is always NUL. */
export function setText(view: DataView, at: number, room: number, value: string): void {
  if (value === '') {
    for (let word = 0; word < room; word += 4) view.setUint32(at + word, 0, true)
    return
  }
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, room)
  bytes.fill(0)
  encoder.encodeInto(value, bytes.subarray(0, room - 1))
}

export function getText(view: DataView, at: number, room: number): string {
  if (view.getUint8(at) === 0) return ''
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, room)
  const end = bytes.indexOf(0)
  return decoder.decode(bytes.subarray(0, end < 0 ? room - 1 : end))
}
