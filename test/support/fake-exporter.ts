import {
  PAGE_VERSION,
  RECORD_WORDS,
  RECORDS,
  STATE_MAGIC,
  StateHeader,
  StateRecord,
} from '../../src/dmabuf/words.ts'
import { inspect } from '../../src/memory/facts.ts'
import { Seal } from '../../src/memory/seals.ts'
import { wordsOf } from '../../src/memory/segment.ts'
import type { SharedWords } from '../../src/memory/shared-words.ts'
import { MapKind } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { HandleFlag } from '../../src/share/handle.ts'
import { EXPORTER_DOOR, PacketType } from '../../src/transport/packet.ts'
import { message, packet, type RawPeer } from './raw-peer.ts'

export const STATE_SEALS = Seal.shrink | Seal.grow | Seal.futureWrite | Seal.seal
export const STORAGE_SEALS = Seal.shrink | Seal.grow | Seal.seal

/** A memfd of this many bytes with these seals. */
export function memfd(byteLength: number, seals: number): number {
  const native = addon()
  const fd = native.memfdCreate('hostile', 0)
  if (fd < 0 || native.allocate(fd, byteLength) < 0) throw new Error(`no memory: ${fd}`)
  if (seals !== 0 && native.addSeals(fd, seals) < 0) throw new Error('no seals')
  return fd
}

/** Both ends of a pipe: `[read, write]`. */
export function pipe(): [number, number] {
  const native = addon()
  if (native.pipe() < 0) throw new Error('no pipe')
  return [native.scratch.descriptors[0] ?? -1, native.scratch.descriptors[1] ?? -1]
}

/** A writing end of a pipe that nobody reads. */
export function pipeEnd(): number {
  const [read, write] = pipe()
  addon().close(read)
  return write
}

/**
 * An exporter made by hand: a state segment with one record, its storage and its leash. Each part is right until a
 * test makes it wrong; what it opens it closes.
 */
export class FakeExporter implements Disposable {
  readonly storage = memfd(4096, STORAGE_SEALS)
  readonly state: number
  readonly words: SharedWords
  readonly leash: number
  readonly #leashEnd: number
  readonly #close: () => void

  constructor(seals: number = STATE_SEALS, byteLength = 65_536) {
    const native = addon()
    this.state = memfd(byteLength, 0)
    const mapping = native.map(this.state, 0, byteLength, MapKind.shared)
    if (typeof mapping === 'number') throw new Error('no mapping')
    this.words = wordsOf(mapping)
    if (seals !== 0) native.addSeals(this.state, seals)
    ;[this.#leashEnd, this.leash] = pipe()
    const { words } = this
    words.set(StateHeader.magic, STATE_MAGIC)
    words.set(StateHeader.version, PAGE_VERSION | ((RECORD_WORDS * 4) << 16))
    words.set(StateHeader.records, RECORDS)
    this.setRecord(0, 1, this.storage)
    this.#close = () => mapping.close()
  }

  /** Writes a record that names this storage. */
  setRecord(record: number, id: number, storage: number): void {
    const facts = inspect(storage)
    if (typeof facts === 'number') throw new Error('no storage')
    const base = (1 + record) * RECORD_WORDS
    this.words.set(base + StateRecord.generation, 1)
    this.words.set(base + StateRecord.idLow, id)
    this.words.set(base + StateRecord.storageDeviceLow, facts.deviceLow)
    this.words.set(base + StateRecord.storageDeviceHigh, facts.deviceHigh)
    this.words.set(base + StateRecord.storageInodeLow, facts.inodeLow)
    this.words.set(base + StateRecord.storageInodeHigh, facts.inodeHigh)
  }

  introduce(peer: RawPeer, door?: number, argument = 0): number {
    const descriptors = door === undefined ? [this.state] : [this.state, door]
    const flags = door === undefined ? 0 : EXPORTER_DOOR
    return peer.send(
      packet({ type: PacketType.exporter, argument, flags, descriptors: descriptors.length }),
      descriptors,
    )
  }

  /** A message with the one buffer. */
  send(peer: RawPeer, json = '{}', handle: Parameters<typeof message>[1][number] = {}): number {
    const flags = HandleFlag.storage | HandleFlag.leash
    return peer.send(message(json, [{ flags, ...handle }], 2), [this.storage, this.leash])
  }

  [Symbol.dispose](): void {
    this.#close()
    for (const fd of [this.storage, this.state, this.leash, this.#leashEnd]) addon().close(fd)
  }
}
