import { FAULT_WORDS } from '../dmabuf/words.ts'
import { limits } from '../internal/limits.ts'
import { FENCE_BYTES } from '../transport/packet.ts'

/**
 * Messages on the private connection of one holder and one exporter; docs/protocol.md has them byte by byte. A header of
 * 32 bytes, behind which some types have more. They are matched by segment, record and id, and what a registration or a
 * request brings by its serial too, because no order holds between different sockets.
 */
export const PRIVATE_MAGIC = 0x5042_4d44
export const PRIVATE_BYTES = 32
export const PRIVATE_VERSION = 1

export const PrivateType = {
  /** Holder: here is a holder segment (its descriptor comes along). The first packet of a connection. */
  page: 1,
  /** Holder: I have this buffer (a writing end of its leash comes along); my slot is `argument`. */
  register: 2,
  /** Holder: I have it no more. */
  release: 3,
  /** Holder: I am inside no bracket of it any more, while it is being moved. */
  lowered: 4,
  /** Holder: it has no storage yet; allocate it. */
  want: 5,
  /** Holder: I have read the storage of this generation. */
  taken: 6,
  /** Holder: a device attaches; `argument` is the number that it shall have. */
  attach: 7,
  /** Holder: map attachment `argument`. */
  map: 8,
  unmap: 9,
  /** Holder: keep it where it is, for attachment `argument`; 0: for good, as a fixed buffer. */
  pin: 10,
  unpin: 11,
  detach: 12,
  /** Holder: the map with this serial is not wanted any more. */
  cancel: 13,
  /** Holder: the fences that an access (`argument`: 1 read, 2 write, 3 both) waits for. */
  exportFences: 14,
  /** Holder: add this fence of an access (`argument`); its page and its end come along while it is pending. */
  importFence: 15,
  /** Exporter: your first page is accepted. */
  welcome: 16,
  /** Exporter: the buffer is revoked. */
  revoked: 17,
  /** Exporter: the buffer is no more; what you keep mapped of it can go. */
  freed: 18,
  /** Exporter: what you asked for failed; `argument` is the errno. */
  error: 19,
  /** Exporter: the storage of this generation (its descriptor comes along). */
  storage: 20,
  /** Exporter: brackets are entered again, with the storage of this generation. */
  go: 21,
  /** Exporter: the buffer was moved without you. */
  evicted: 22,
  /** Exporter: what you asked for is done; an attachment stands in the list. */
  done: 23,
  /** Exporter: a part of the table that you asked for. */
  segments: 24,
  /** Exporter: the buffer of attachment `argument` has moved. */
  moved: 25,
  /** Exporter: one of the fences that you asked for (its descriptors come along). */
  fence: 26,
} as const

export const FAULT_BODY_BYTES = FAULT_WORDS * 4

/** A header alone; a packet of this type may have so many bytes behind it. */
const bodies = new Map<number, readonly [least: number, most: number]>([
  [PrivateType.release, [0, FAULT_BODY_BYTES]],
  [PrivateType.attach, [2, limits.maxPrivateTextBytes]],
  [PrivateType.importFence, [FENCE_BYTES, FENCE_BYTES]],
  [PrivateType.fence, [FENCE_BYTES, FENCE_BYTES]],
  [PrivateType.map, [4, 4]],
  [PrivateType.unmap, [4, 4]],
  [PrivateType.error, [0, limits.maxPrivateTextBytes]],
  [PrivateType.storage, [16, 16]],
  [PrivateType.segments, [24, 8 + 16 * limits.maxSegmentsPerPacket]],
])

export interface PrivateMessage {
  readonly type: number
  /** Number of the state segment among those of the exporter. */
  readonly segment: number
  readonly record: number
  readonly generation: number
  readonly idLow: number
  readonly idHigh: number
  /** Of a registration, or of a request and its answer; else 0. */
  readonly serial: number
  readonly argument: number
  /** Bytes behind the header, which stand there until the next packet is read. */
  readonly bodyBytes: number
}

export type PrivateInit = Partial<Omit<PrivateMessage, 'bodyBytes'>> & { type: number }

export function writePrivate(view: DataView, message: PrivateInit): void {
  view.setUint32(0, PRIVATE_MAGIC, true)
  view.setUint8(4, PRIVATE_VERSION)
  view.setUint8(5, message.type)
  view.setUint16(6, message.segment ?? 0, true)
  view.setUint32(8, message.record ?? 0, true)
  view.setUint32(12, message.generation ?? 0, true)
  view.setUint32(16, message.idLow ?? 0, true)
  view.setUint32(20, message.idHigh ?? 0, true)
  view.setUint32(24, message.serial ?? 0, true)
  view.setUint32(28, message.argument ?? 0, true)
}

/** The message, or what is wrong with it. */
export function readPrivate(view: DataView, length: number): PrivateMessage | string {
  if (length < PRIVATE_BYTES) return `a private message of ${length} bytes`
  if (view.getUint32(0, true) !== PRIVATE_MAGIC) return 'a private message without its magic word'
  if (view.getUint8(4) !== PRIVATE_VERSION) return `a private message of version ${view.getUint8(4)}`
  const type = view.getUint8(5)
  const bodyBytes = length - PRIVATE_BYTES
  const [least, most] = bodies.get(type) ?? [0, 0]
  if (bodyBytes < least || bodyBytes > most) return `a private message of type ${type} and ${length} bytes`
  return {
    type,
    segment: view.getUint16(6, true),
    record: view.getUint32(8, true),
    generation: view.getUint32(12, true),
    idLow: view.getUint32(16, true),
    idHigh: view.getUint32(20, true),
    serial: view.getUint32(24, true),
    argument: view.getUint32(28, true),
    bodyBytes,
  }
}
