import { type BracketFaults, noFaults, sumOf } from '../dmabuf/bracket-faults.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import type { HolderInfo, SharedState } from '../dmabuf/shared-state.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { RecordFlag, StateRecord } from '../dmabuf/words.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import { Audience, type AudienceOwner } from './audience.ts'
import { Leash } from './leash.ts'
import { PrivateType } from './private-message.ts'
import type { Reader } from './reader.ts'
import type { Registration } from './registration.ts'
import { StateSegment } from './state-segment.ts'

/** An exported buffer that has left the environment: its record, its leash and its registered holders. */
export class Published implements SharedState, AudienceOwner {
  readonly core: BufferCore
  readonly state: StateSegment
  readonly record: number
  readonly words: SharedWords
  readonly base: number
  readonly leash = new Leash()
  readonly exporterAlive = true
  readonly audience: Audience
  /** What names it in private messages. */
  readonly name: { segment: number; record: number; idLow: number; idHigh: number }
  /** Everybody to whom the present storage was given, those who are gone included. */
  readonly readers = new Set<Reader>()
  formerFaults = noFaults

  constructor(core: BufferCore, state: StateSegment) {
    this.core = core
    this.state = state
    this.record = state.add(core)
    this.words = state.words
    this.base = StateSegment.base(this.record)
    this.name = { segment: state.number, record: this.record, idLow: this.idLow, idHigh: this.idHigh }
    this.audience = new Audience(this)
    if (core.entry !== undefined) this.setFlag(RecordFlag.placed)
    // Set before anybody can ask for it; what changes from here on goes by `shared`.
    core.shared = this
    core.showFences()
  }

  get idLow(): number {
    return this.words.get(this.base + StateRecord.idLow)
  }

  get idHigh(): number {
    return this.words.get(this.base + StateRecord.idHigh)
  }

  /** It left as a placed buffer, though it may have been fixed since. */
  get placed(): boolean {
    return this.#has(RecordFlag.placed)
  }

  /** Whether it may still move. */
  get movable(): boolean {
    return this.core.entry !== undefined
  }

  /** Its record says so, once it was placed and moves no more. */
  noteFixed(): void {
    if (this.placed && !this.movable) this.setFlag(RecordFlag.fixed)
  }

  add(registration: Registration): void {
    this.readers.add(registration.holder)
    this.audience.add(registration)
  }

  holders(): HolderInfo[] {
    return Array.from(this.audience, ({ holder, slot }) => holder.describe(slot))
  }

  get othersWrite(): boolean {
    for (const { holder, slot } of this.audience) if (holder.openWriteBrackets(slot) > 0) return true
    return false
  }

  /** A holder is gone, with so many. */
  addFaults(faults: BracketFaults): void {
    this.formerFaults = sumOf(this.formerFaults, faults)
  }

  setStorage(storage: Storage, generation: number): void {
    this.readers.clear()
    for (const { holder } of this.audience) this.readers.add(holder)
    this.state.setStorage(this.record, storage, generation)
  }

  /** A write bracket of a holder died open. */
  countBroken(): void {
    this.words.add(this.base + StateRecord.broken, 1)
  }

  setFlag(flag: number): void {
    this.words.or(this.base + StateRecord.flags, flag)
  }

  revoke(): void {
    this.setFlag(RecordFlag.revoked)
    this.audience.tell(PrivateType.revoked)
  }

  /** The record is free again, holders may drop what they keep mapped. */
  unpublish(): void {
    this.audience.tell(PrivateType.freed)
    this.audience.close()
    this.leash.close()
    this.state.remove(this.record)
  }

  #has(flag: number): boolean {
    return (this.words.get(this.base + StateRecord.flags) & flag) !== 0
  }
}
