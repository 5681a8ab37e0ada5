import {
  HOLDER_MAGIC,
  HOLDER_SEGMENT_BYTES,
  PAGE_VERSION,
  SLOT_WORDS,
  SLOTS,
} from '../../src/dmabuf/words.ts'
import type { Channel, DmaBuf } from '../../src/index.ts'
import { errno } from '../../src/internal/errors.ts'
import { MapKind } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import {
  PRIVATE_BYTES,
  type PrivateMessage,
  PrivateType,
  readPrivate,
  writePrivate,
} from '../../src/share/private-message.ts'
import { PacketType } from '../../src/transport/packet.ts'
import { memfd, STATE_SEALS } from './fake-exporter.ts'
import type { RawPeer } from './raw-peer.ts'
import { until } from './until.ts'

type Values = Partial<PrivateMessage> & { type: number }

/** A buffer as a raw peer got it: what names it, and its descriptors. */
export interface RawBuffer {
  readonly name: { record: number; idLow: number; idHigh: number }
  readonly storage: number
  readonly leash: number
}

/** Somebody at an exporter's door, without the library. */
export class RawHolder implements Disposable {
  readonly fd: number

  private constructor(fd: number) {
    this.fd = fd
  }

  /** Knocks at a door. */
  static async knock(door: number): Promise<RawHolder> {
    const fd = await addon().connectDoor(door, 5000)
    if (fd < 0) throw new Error(`nobody opened: ${fd}`)
    return new RawHolder(fd)
  }

  send(values: Values, fd = -1): number {
    const bytes = new Uint8Array(PRIVATE_BYTES)
    writePrivate(new DataView(bytes.buffer), values)
    return this.sendBytes(bytes, fd < 0 ? [] : [fd])
  }

  sendBytes(bytes: Uint8Array, descriptors: readonly number[] = []): number {
    const { tx, outgoing } = addon().scratch
    tx.set(bytes)
    outgoing.set(descriptors)
    return addon().send(this.fd, bytes.length, descriptors.length, false)
  }

  /** Sends a page, closes its descriptor, and returns its words. */
  page(): { words: Uint32Array; close: () => void } {
    const fd = memfd(HOLDER_SEGMENT_BYTES, 0)
    const mapping = addon().map(fd, 0, HOLDER_SEGMENT_BYTES, MapKind.shared)
    if (typeof mapping === 'number') throw new Error('no mapping')
    const words = new Uint32Array(mapping.view() as ArrayBuffer)
    words.set([HOLDER_MAGIC, PAGE_VERSION | ((SLOT_WORDS * 4) << 16), SLOTS])
    addon().addSeals(fd, STATE_SEALS)
    this.send({ type: PrivateType.page }, fd)
    addon().close(fd)
    return { words, close: () => mapping.close() }
  }

  /** The next message; `'end'` when the exporter has hung up. */
  read(): Promise<PrivateMessage | 'end'> {
    return until(() => {
      const length = addon().receive(this.fd)
      if (length === -errno.EAGAIN) return undefined
      if (length <= 0) return 'end' as const
      const { buffer, byteOffset } = addon().scratch.rx
      const message = readPrivate(new DataView(buffer, byteOffset), length)
      if (typeof message === 'string') throw new Error(message)
      return message
    }, 'the exporter answers')
  }

  [Symbol.dispose](): void {
    addon().close(this.fd)
  }
}

/** Sends a buffer to a raw peer that is new here: the exporter's door and the buffer, all of it the caller's to close. */
export async function takeBuffer(channel: Channel, peer: RawPeer, buffer: DmaBuf) {
  peer.hello()
  await channel.ready
  await channel.send({}, [buffer])
  const [state = -1, door = -1] = (await peer.read(PacketType.exporter)).descriptors
  return { state, door, buffer: await readBuffer(peer) }
}

/** The next buffer that a raw peer was sent. */
export async function readBuffer(peer: RawPeer): Promise<RawBuffer> {
  const { bytes, descriptors } = await peer.read(PacketType.message)
  const view = new DataView(bytes.buffer, 32)
  const [storage = -1, leash = -1] = descriptors
  const name = {
    record: view.getUint32(8, true),
    idLow: view.getUint32(16, true),
    idHigh: view.getUint32(20, true),
  }
  return { name, storage, leash }
}
