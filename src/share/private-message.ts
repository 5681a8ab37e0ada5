/**
 * Messages on the private connection of one holder and one exporter; docs/protocol.md has them byte by byte. 32
 * bytes each, matched by segment, record and id, because no order holds between different sockets.
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
  /** Exporter: your first page is accepted. */
  welcome: 16,
  /** Exporter: the buffer is revoked. */
  revoked: 17,
  /** Exporter: the buffer is no more; what you keep mapped of it can go. */
  freed: 18,
  /** Exporter: what you asked for failed; `argument` is the errno. */
  error: 19,
} as const

export interface PrivateMessage {
  readonly type: number
  /** Number of the state segment among those of the exporter. */
  readonly segment: number
  readonly record: number
  readonly generation: number
  readonly idLow: number
  readonly idHigh: number
  readonly argument: number
}

export function writePrivate(view: DataView, message: Partial<PrivateMessage> & { type: number }): void {
  view.setUint32(0, PRIVATE_MAGIC, true)
  view.setUint8(4, PRIVATE_VERSION)
  view.setUint8(5, message.type)
  view.setUint16(6, message.segment ?? 0, true)
  view.setUint32(8, message.record ?? 0, true)
  view.setUint32(12, message.generation ?? 0, true)
  view.setUint32(16, message.idLow ?? 0, true)
  view.setUint32(20, message.idHigh ?? 0, true)
  view.setUint32(24, 0, true)
  view.setUint32(28, message.argument ?? 0, true)
}

/** The message, or what is wrong with it. */
export function readPrivate(view: DataView, length: number): PrivateMessage | string {
  if (length !== PRIVATE_BYTES) return `a private message of ${length} bytes`
  if (view.getUint32(0, true) !== PRIVATE_MAGIC) return 'a private message without its magic word'
  if (view.getUint8(4) !== PRIVATE_VERSION) return `a private message of version ${view.getUint8(4)}`
  return {
    type: view.getUint8(5),
    segment: view.getUint16(6, true),
    record: view.getUint32(8, true),
    generation: view.getUint32(12, true),
    idLow: view.getUint32(16, true),
    idHigh: view.getUint32(20, true),
    argument: view.getUint32(28, true),
  }
}
