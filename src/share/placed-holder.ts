import type { BufferCore } from '../dmabuf/buffer-core.ts'
import type { Entry } from '../dmabuf/entry.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { RecordFlag, StateRecord } from '../dmabuf/words.ts'
import { abortable } from '../internal/abort.ts'
import { type DmaBufError, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { inspect } from '../memory/facts.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import { addon } from '../native/load.ts'
import { storageIs } from './received-storage.ts'

/** What a placed buffer needs of its holder's side. */
export interface PlacedOwner {
  readonly core: BufferCore
  /** The exporter's record of the buffer. */
  readonly words: SharedWords
  readonly base: number
  /** The storage that this environment maps; writing it tells the exporter. */
  generation: number
  /** Whether the exporter is there: when it is not, nothing of it moves any more. */
  readonly exporterAlive: boolean
  /** The exporter may be alive, but what it does is not heard here. */
  readonly cut: boolean
  /** Handles messages that are here already, until there is enough. */
  readNow(enough: () => boolean): void
  /** Tells the exporter that no bracket is open here any more. */
  lowered(): void
  /** The same, of a buffer that is lost. */
  left(): void
  /** Asks for storage; rejects with the exporter's reason. */
  want(): Promise<void>
  /** Asks that the buffer stays where it is for good. */
  pin(): Promise<void>
  /** Keeps the process alive while somebody waits. */
  ref(): void
  unref(): void
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The holder's side of a placed buffer: what stands before each of its brackets (steps B3 to B6 and E2 of docs/protocol.md,
 * "Bracket"), and the storages that the exporter sends.
 */
export class PlacedHolder implements Entry {
  readonly #owner: PlacedOwner
  /** Sent by the exporter and not mapped yet, by generation. */
  readonly #sent = new Map<number, Storage>()
  /** From whoever forwarded the buffer; of use only when its exporter is dead. */
  #fallback: { readonly storage: Storage; readonly generation: number } | undefined
  readonly #waiters = new Set<Waiter>()
  #wanting = false
  #lost: DmaBufError | undefined

  constructor(owner: PlacedOwner) {
    this.#owner = owner
  }

  /** Why the buffer can be entered no more, if that is so. */
  get lost(): DmaBufError | undefined {
    if (this.#lost !== undefined || !this.#owner.cut) return this.#lost
    return problem('exporterGone', { name: this.#owner.core.name })
  }

  // ---- brackets ---------------------------------------------------------------------------------------------

  admit(): boolean {
    this.#check()
    // B3. A hang-up stands in the socket behind all that the exporter has sent, and ends its move.
    if (this.#moving) this.#owner.readNow(() => false)
    this.#check()
    const entered = !this.#moving && this.#enter()
    this.#check()
    return entered
  }

  lowered(): void {
    if (this.#owner.core.openBrackets > 0) return
    if (this.#lost !== undefined) this.#owner.left()
    else if (this.#moving) this.#owner.lowered()
  }

  async passable(signal: AbortSignal | undefined): Promise<void> {
    this.#check()
    // Not at once: words that change all the time shall not keep the caller asking and asking.
    if (this.#open) return nextTurn()
    const turn = abortable<void>(signal, 'beginCpuAccess', (resolve, reject) => {
      const waiter = { resolve: () => resolve(), reject }
      this.#waiters.add(waiter)
      return () => this.#waiters.delete(waiter)
    })
    if (this.#present === 0) this.#want()
    this.#owner.ref()
    try {
      await turn
    } finally {
      this.#owner.unref()
    }
  }

  async fix(): Promise<void> {
    this.#check()
    if (!this.#fixed) await this.#owner.pin()
    if (!this.fixSync()) throw this.lost ?? problem('notFixed', { name: this.#owner.core.name })
  }

  fixSync(): boolean {
    if (!this.#fixed || !this.settle()) return false
    this.#owner.core.entry = undefined
    return true
  }

  /** Maps the present storage if it is here and no bracket is open; whether it is mapped now. */
  settle(): boolean {
    if (this.lost !== undefined || this.#moving) return false
    // Where a bracket is open no move can have happened.
    if (this.#owner.core.openBrackets > 0) return this.#owner.generation === this.#present
    return this.#enter()
  }

  // ---- what the exporter says -------------------------------------------------------------------------------

  /** The storage of a generation came, which is now this object's to close. */
  sent(storage: Storage, generation: number): void {
    this.#drop(generation)
    this.#sent.set(generation, storage)
    if (!this.#moving) this.wake()
  }

  /** There can be the present storage and the next one; what is between them was dropped at the end of its move. */
  get hasRoom(): boolean {
    return this.#sent.size < limits.maxUnreadStorages
  }

  /** A move is over: what was sent of other generations was for nothing. */
  go(generation: number): void {
    for (const sent of this.#sent.keys()) if (sent !== generation) this.#drop(sent)
    this.wake()
  }

  /** From whoever forwarded the buffer; consumed. One that is the present storage is worth keeping, if any is. */
  offerFallback(storage: Storage, generation: number): void {
    const known = this.#fallback
    if (known !== undefined && !this.#isPresent(storage, generation)) {
      addon().close(storage.fd)
      return
    }
    if (known !== undefined) addon().close(known.storage.fd)
    this.#fallback = { storage, generation }
  }

  /** The exporter goes on without this holder; what is mapped here stays, cut off. */
  lose(error: DmaBufError): void {
    this.#lost = error
    this.#closeSent()
    for (const { reject } of this.#takeWaiters()) reject(error)
  }

  /** It is a holder again. */
  found(): void {
    this.#lost = undefined
  }

  /** Something has changed: whoever waits looks again. */
  wake(): void {
    for (const { resolve } of this.#takeWaiters()) resolve()
  }

  /** The exporter is dead or out of reach: nothing more comes. */
  exporterEnded(): void {
    const { lost } = this
    if (lost === undefined) this.wake()
    else for (const { reject } of this.#takeWaiters()) reject(lost)
  }

  close(): void {
    this.#closeSent()
    if (this.#fallback !== undefined) addon().close(this.#fallback.storage.fd)
    this.#fallback = undefined
    const { name } = this.#owner.core
    for (const { reject } of this.#takeWaiters()) reject(problem('closedBuffer', { name }))
  }

  // -----------------------------------------------------------------------------------------------------------

  #check(): void {
    const { lost } = this
    if (lost !== undefined) throw lost
  }

  /** A dead exporter may have left it at 1. */
  get #moving(): boolean {
    const { words, base, exporterAlive } = this.#owner
    return exporterAlive && words.load(base + StateRecord.moving) !== 0
  }

  /** Generation of the present storage; 0: none yet. */
  get #present(): number {
    const { words, base } = this.#owner
    return words.load(base + StateRecord.generation)
  }

  get #fixed(): boolean {
    const { words, base } = this.#owner
    return (words.load(base + StateRecord.flags) & RecordFlag.fixed) !== 0
  }

  /** Whether there is nothing to wait for. */
  get #open(): boolean {
    const present = this.#present
    if (!this.#owner.exporterAlive) return true
    return !this.#moving && present !== 0 && (present === this.#owner.generation || this.#sent.has(present))
  }

  /** B4, after B3: the present storage is mapped when this returns true. */
  #enter(): boolean {
    const present = this.#present
    if (present === this.#owner.generation && present !== 0) return true
    // Sent before its generation was written, so that it is in the socket at the latest; as is, behind it, that the
    // exporter has gone on without this holder.
    if (present !== 0) this.#owner.readNow(() => false)
    if (this.lost !== undefined) return false
    const storage = this.#sent.get(present) ?? this.#inheritance(present)
    if (storage === undefined) {
      // What a hostile exporter has torn down in between shows at the next look.
      if (!this.#owner.exporterAlive) throw problem('exporterGone', { name: this.#owner.core.name })
      return false
    }
    this.#map(storage, present)
    return true
  }

  /** The storage of whoever forwarded the buffer, if its exporter is dead and that was the last. */
  #inheritance(present: number): Storage | undefined {
    const fallback = this.#fallback
    if (this.#owner.exporterAlive || fallback?.generation !== present) return undefined
    return this.#isPresent(fallback.storage, present) ? fallback.storage : undefined
  }

  #isPresent({ fd }: Storage, generation: number): boolean {
    const { words, base } = this.#owner
    const facts = inspect(fd)
    return typeof facts === 'object' && generation === this.#present && storageIs(words, base, facts)
  }

  #map(storage: Storage, generation: number): void {
    const { core } = this.#owner
    this.#sent.delete(generation)
    if (this.#fallback?.storage === storage) this.#fallback = undefined
    core.swapStorage(storage, undefined)
    this.#owner.generation = generation
    for (const older of this.#sent.keys()) if (older < generation) this.#drop(older)
    if (this.#fixed && this.#present === generation) core.entry = undefined
  }

  #want(): void {
    if (this.#wanting) return
    this.#wanting = true
    const refused = (error: unknown) => {
      for (const { reject } of this.#takeWaiters()) reject(error)
    }
    void this.#owner
      .want()
      .catch(refused)
      .finally(() => {
        this.#wanting = false
      })
  }

  #takeWaiters(): Waiter[] {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    return waiters
  }

  #drop(generation: number): void {
    const storage = this.#sent.get(generation)
    if (storage === undefined) return
    this.#sent.delete(generation)
    addon().close(storage.fd)
  }

  #closeSent(): void {
    for (const generation of this.#sent.keys()) this.#drop(generation)
  }
}
