import {
  HOLDER_MAGIC,
  HOLDER_SEGMENT_BYTES,
  HOLDER_VERSION,
  SLOT_WORDS,
  SLOTS,
} from '../../src/dmabuf/words.ts'
import type { Channel, DmaBuf } from '../../src/index.ts'
import { wordsOf } from '../../src/memory/segment.ts'
import type { SharedWords } from '../../src/memory/shared-words.ts'
import { MapKind } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { PrivateType } from '../../src/share/private-message.ts'
import { PacketType } from '../../src/transport/packet.ts'
import { memfd, STATE_SEALS } from './fake-exporter.ts'
import type { RawPeer } from './raw-peer.ts'
import { RawPrivate } from './raw-private.ts'

/** A buffer as a raw peer got it: what names it, and its descriptors. */
export interface RawBuffer {
  readonly name: { record: number; idLow: number; idHigh: number }
  readonly storage: number
  readonly leash: number
}

/** Somebody at an exporter's door, without the library. */
export class RawHolder extends RawPrivate {
  /** Knocks at a door. */
  static async knock(door: number): Promise<RawHolder> {
    const fd = await addon().connectDoor(door, 5000)
    if (fd < 0) throw new Error(`nobody opened: ${fd}`)
    return new RawHolder(fd)
  }

  /** Sends a page, closes its descriptor, and returns its words. */
  page(): { words: SharedWords; close: () => void } {
    const fd = memfd(HOLDER_SEGMENT_BYTES, 0)
    const mapping = addon().map(fd, 0, HOLDER_SEGMENT_BYTES, MapKind.shared)
    if (typeof mapping === 'number') throw new Error('no mapping')
    const words = wordsOf(mapping)
    for (const [at, word] of [HOLDER_MAGIC, HOLDER_VERSION | ((SLOT_WORDS * 4) << 16), SLOTS].entries()) {
      words.set(at, word)
    }
    addon().addSeals(fd, STATE_SEALS)
    this.send({ type: PrivateType.page }, fd)
    addon().close(fd)
    return { words, close: () => mapping.close() }
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

/** A placed buffer as a raw peer got it: without storage. */
export interface RawPlaced {
  readonly name: { record: number; idLow: number; idHigh: number }
  readonly state: number
  readonly door: number
  readonly leash: number
}

/** Sends a placed buffer to a raw peer that is new here; the descriptors are the caller's to close. */
export async function takePlaced(channel: Channel, peer: RawPeer, buffer: DmaBuf): Promise<RawPlaced> {
  const { state, door, buffer: taken } = await takeBuffer(channel, peer, buffer)
  // The only descriptor of its handle.
  return { name: taken.name, state, door, leash: taken.storage }
}
