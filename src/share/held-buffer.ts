import type { BufferCore, HolderInfo, SharedState } from '../dmabuf/buffer-core.ts'
import { coherenceFor } from '../dmabuf/coherence-for.ts'
import { coherencyOf } from '../dmabuf/coherency-flags.ts'
import { Slot, StateRecord } from '../dmabuf/words.ts'
import { addon } from '../native/load.ts'
import type { HolderSlot } from './holder-pages.ts'
import { park, unpark } from './parking.ts'
import type { BufferName } from './remote-exporter.ts'
import type { RemoteState } from './remote-state.ts'
import { StateSegment } from './state-segment.ts'

const held = new WeakMap<BufferCore, HeldBuffer>()

/** What this environment has of another one's buffer; `undefined` for its own. */
export function heldBuffer(core: BufferCore): HeldBuffer | undefined {
  return held.get(core)
}

/** The holder's side of a buffer: its leash, its slot, its registration. */
export class HeldBuffer implements SharedState, BufferName {
  readonly core: BufferCore
  readonly state: RemoteState
  readonly record: number
  readonly idLow: number
  readonly idHigh: number
  readonly words: Uint32Array
  readonly base: number
  readonly audience = undefined
  /** A writing end: as long as it is open, the exporter keeps the buffer. -1 while parked. */
  leash: number
  readonly #slot: HolderSlot
  #registered = false

  /** Consumes `leash`. */
  constructor(core: BufferCore, state: RemoteState, name: BufferName, generation: number, leash: number) {
    this.core = core
    this.state = state
    this.record = name.record
    this.idLow = name.idLow
    this.idHigh = name.idHigh
    this.words = state.words
    this.base = StateSegment.base(name.record)
    this.leash = leash
    this.#slot = state.exporter.takeSlot()
    state.use()
    core.moveSlot(this.#slot.words, this.#slot.base)
    this.generation = generation
    core.shared = this
    core.coherence = coherenceFor(core, coherencyOf(this.words[this.base + StateRecord.flags] ?? 0))
    core.forgetInterrupted()
    core.onUnused = () => this.#unused()
    core.onUnwrapped = () => (core.recycled ? core.relocate() : core.unmap())
    core.onDestroy = () => this.#destroyed()
    state.cores.set(name.record, core)
    held.set(core, this)
    this.#registerSoon()
  }

  /** Tells the exporter, if it has not been told. Nothing is sent for a buffer that is closed by then. */
  register(): void {
    if (this.#registered || this.leash < 0) return
    this.#registered = true
    this.core.beforeWrite = undefined
    this.state.exporter.register(this, this.#slot, this.leash)
  }

  /**
   * A buffer that is looked at and closed within one turn need not be registered at all, which saves both processes
   * three messages; one that is written to must be before it is written, so that its writer's death is noticed.
   */
  #registerSoon(): void {
    this.core.beforeWrite = () => this.register()
    registerLater(this)
  }

  get segment(): number {
    return this.state.segment
  }

  get exporterAlive(): boolean {
    return this.state.exporter.alive
  }

  /** Generation of the storage that this environment has. */
  get generation(): number {
    return this.#slot.words[this.#slot.base + Slot.mapped] ?? 0
  }

  set generation(generation: number) {
    this.#slot.words[this.#slot.base + Slot.mapped] = generation
    this.core.generation = generation
  }

  /** The buffer came again; `leash` is consumed. */
  receivedAgain(leash: number): void {
    unpark(this.core)
    if (this.leash < 0) this.leash = leash
    else addon().close(leash)
    if (!this.#registered) this.#registerSoon()
  }

  holders(): HolderInfo[] {
    return []
  }

  revoke(): void {
    // Only the exporter can; its own Published does.
  }

  #unused(): void {
    addon().close(this.leash)
    this.leash = -1
    if (this.core.recycled && this.exporterAlive && !this.core.isRevoked) park(this.core)
    else this.core.destroy()
  }

  #destroyed(): void {
    unpark(this.core)
    if (this.leash >= 0) addon().close(this.leash)
    this.leash = -1
    this.state.cores.delete(this.record)
    if (this.#registered) this.state.exporter.release(this)
    this.state.exporter.giveSlot(this.#slot)
    // The words may belong to another buffer from here on.
    this.core.shared = undefined
    this.state.unuse()
  }
}

const toRegister = new Set<HeldBuffer>()

function registerLater(buffer: HeldBuffer): void {
  if (toRegister.size === 0) setImmediate(registerAll)
  toRegister.add(buffer)
}

function registerAll(): void {
  const buffers = [...toRegister]
  toRegister.clear()
  for (const buffer of buffers) buffer.register()
}
