import type { BufferCore, HolderInfo, SharedState } from '../dmabuf/buffer-core.ts'
import { RecordFlag, StateRecord } from '../dmabuf/words.ts'
import { Leash } from './leash.ts'
import { type PrivateMessage, PrivateType } from './private-message.ts'
import type { Reader } from './reader.ts'
import { StateSegment } from './state-segment.ts'

/** A holder that registered, as its connection shows it. */
export interface RegisteredHolder extends Reader {
  describe(slot: number): HolderInfo
  send(message: Partial<PrivateMessage> & { type: number }): void
  /** The buffer is no more. */
  forget(published: Published): void
}

/** An exported buffer that has left the environment: its record, its leash and its registered holders. */
export class Published implements SharedState {
  readonly core: BufferCore
  readonly state: StateSegment
  readonly record: number
  readonly words: Uint32Array
  readonly base: number
  readonly leash = new Leash()
  readonly exporterAlive = true
  readonly audience = undefined
  /** Everybody to whom the present storage was given, those who are gone included. */
  readonly readers = new Set<Reader>()
  /** Registered holders and the slot of each. */
  readonly #holders = new Map<RegisteredHolder, number>()

  constructor(core: BufferCore, state: StateSegment) {
    this.core = core
    this.state = state
    this.record = state.add(core)
    this.words = state.words
    this.base = StateSegment.base(this.record)
  }

  get idLow(): number {
    return this.words[this.base + StateRecord.idLow] ?? 0
  }

  get idHigh(): number {
    return this.words[this.base + StateRecord.idHigh] ?? 0
  }

  get generation(): number {
    return this.words[this.base + StateRecord.generation] ?? 0
  }

  addHolder(holder: RegisteredHolder, slot: number): void {
    this.#holders.set(holder, slot)
    this.readers.add(holder)
  }

  removeHolder(holder: RegisteredHolder): void {
    this.#holders.delete(holder)
  }

  holders(): HolderInfo[] {
    return Array.from(this.#holders, ([holder, slot]) => holder.describe(slot))
  }

  /** A write bracket of a holder died open. */
  countBroken(): void {
    Atomics.add(this.words, this.base + StateRecord.broken, 1)
  }

  setFlag(flag: number): void {
    Atomics.or(this.words, this.base + StateRecord.flags, flag)
  }

  revoke(): void {
    this.setFlag(RecordFlag.revoked)
    this.#tell(PrivateType.revoked)
  }

  /** The record is free again, holders may drop what they keep mapped. */
  unpublish(): void {
    this.#tell(PrivateType.freed)
    for (const holder of this.#holders.keys()) holder.forget(this)
    this.#holders.clear()
    this.leash.close()
    this.state.remove(this.record)
  }

  #tell(type: number): void {
    const { state, record, idLow, idHigh } = this
    for (const holder of this.#holders.keys()) {
      holder.send({ type, segment: state.number, record, idLow, idHigh })
    }
  }
}
