import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { coherencyFlag } from '../dmabuf/coherency-flags.ts'
import type { Storage } from '../dmabuf/storage.ts'
import {
  PAGE_VERSION,
  RECORD_WORDS,
  RECORDS,
  RecordFlag,
  STATE_MAGIC,
  STATE_SEGMENT_BYTES,
  StateHeader,
  StateRecord,
} from '../dmabuf/words.ts'
import { type FileIdentity, inspect } from '../memory/facts.ts'
import { createSegment, type OwnSegment } from '../memory/segment.ts'
import { addon } from '../native/load.ts'

/** Ids are never used again in this exporter's life; 2^53 of them do not run out. */
let lastId = 0

/** A segment of this exporter's state: one record for each of up to 1023 buffers that left the environment. */
export class StateSegment {
  readonly number: number
  readonly identity: FileIdentity
  readonly #segment: OwnSegment
  /** By record index. */
  readonly #cores: (BufferCore | undefined)[] = []
  readonly #free: number[] = []

  constructor(number: number, uuid: Uint8Array, door: FileIdentity | undefined) {
    this.number = number
    this.#segment = createSegment('dmabuf-state', STATE_SEGMENT_BYTES)
    const identity = inspect(this.#segment.fd)
    if (typeof identity === 'number') throw new Error('a segment just made has no identity')
    this.identity = identity
    const { words } = this.#segment
    words[StateHeader.magic] = STATE_MAGIC
    words[StateHeader.version] = PAGE_VERSION | ((RECORD_WORDS * 4) << 16)
    words[StateHeader.records] = RECORDS
    words[StateHeader.segment] = number
    words.set(new Uint32Array(uuid.buffer, uuid.byteOffset, 4), StateHeader.uuid)
    words[StateHeader.doorDeviceLow] = door?.deviceLow ?? 0
    words[StateHeader.doorDeviceHigh] = door?.deviceHigh ?? 0
    words[StateHeader.doorInodeLow] = door?.inodeLow ?? 0
    words[StateHeader.doorInodeHigh] = door?.inodeHigh ?? 0
  }

  get fd(): number {
    return this.#segment.fd
  }

  get words(): Uint32Array {
    return this.#segment.words
  }

  get full(): boolean {
    return this.#free.length === 0 && this.#cores.length >= RECORDS
  }

  /** Where a record begins, in words. */
  static base(record: number): number {
    return (1 + record) * RECORD_WORDS
  }

  /** The buffer of a record, if it is the one with this id. */
  find(record: number, idLow: number, idHigh: number): BufferCore | undefined {
    const base = StateSegment.base(record)
    const { words } = this
    if (words[base + StateRecord.idLow] !== idLow || words[base + StateRecord.idHigh] !== idHigh)
      return undefined
    return this.#cores[record]
  }

  /** Takes a free record for a buffer and fills it; the generation makes it valid. */
  add(core: BufferCore): number {
    const record = this.#free.pop() ?? this.#cores.length
    this.#cores[record] = core
    const base = StateSegment.base(record)
    const { words } = this
    const id = ++lastId
    words.fill(0, base, base + RECORD_WORDS)
    words[base + StateRecord.idLow] = id >>> 0
    words[base + StateRecord.idHigh] = Math.floor(id / 2 ** 32)
    const readOnly = core.storage.sharing === 'read-only' ? RecordFlag.readOnly : 0
    const noVmap = core.ops?.vmap === null ? RecordFlag.noVmap : 0
    words[base + StateRecord.flags] = readOnly | noVmap | coherencyFlag(core.coherence?.coherency)
    // A buffer may leave while it is being written: the end of that bracket turns the word to even.
    words[base + StateRecord.writeSequence] = core.openWriteBrackets > 0 ? 1 : 0
    if (core.generation > 0) this.setStorage(record, core.storage, core.generation)
    return record
  }

  /** Names the storage of this generation; the generation is written last. */
  setStorage(record: number, storage: Storage, generation: number): void {
    const facts = inspect(storage.fd, true)
    if (typeof facts === 'number') throw new Error(`storage ${storage.fd} is gone`)
    const base = StateSegment.base(record)
    const { words } = this
    words[base + StateRecord.storageDeviceLow] = facts.deviceLow
    words[base + StateRecord.storageDeviceHigh] = facts.deviceHigh
    words[base + StateRecord.storageInodeLow] = facts.inodeLow
    words[base + StateRecord.storageInodeHigh] = facts.inodeHigh
    Atomics.store(words, base + StateRecord.generation, generation)
  }

  remove(record: number): void {
    const base = StateSegment.base(record)
    this.words[base + StateRecord.idLow] = 0
    this.words[base + StateRecord.idHigh] = 0
    this.#cores[record] = undefined
    this.#free.push(record)
  }

  close(): void {
    this.#segment.mapping.close()
    addon().close(this.#segment.fd)
  }
}
