import { bracketFaults } from '../dmabuf/bracket-faults.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { coherenceFor } from '../dmabuf/coherence-for.ts'
import { coherencyOf } from '../dmabuf/coherency-flags.ts'
import type { HolderInfo, SharedState } from '../dmabuf/shared-state.ts'
import { Slot, StateRecord } from '../dmabuf/words.ts'
import { type DmaBufError, problem } from '../internal/errors.ts'
import { dismiss } from '../memory/gate.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import { addon } from '../native/load.ts'
import type { HolderSlot } from './holder-pages.ts'
import { park, unpark } from './parking.ts'
import { PlacedHolder, type PlacedOwner } from './placed-holder.ts'
import { faultsBody, readStorageBody } from './private-body.ts'
import { PRIVATE_BYTES, type PrivateInit, type PrivateMessage, PrivateType } from './private-message.ts'
import type { PrivateFreight } from './private-socket.ts'
import { admitPlaced } from './received-storage.ts'
import type { BufferName } from './remote-exporter.ts'
import { type FenceOwner, RemoteFences } from './remote-fences.ts'
import { type HostOwner, RemoteHost } from './remote-host.ts'
import type { Request } from './remote-requests.ts'
import type { RemoteState } from './remote-state.ts'
import { rx } from './scratch-views.ts'
import { StateSegment } from './state-segment.ts'

const held = new WeakMap<BufferCore, HeldBuffer>()

/** What this environment has of another one's buffer; `undefined` for its own. */
export function heldBuffer(core: BufferCore): HeldBuffer | undefined {
  return held.get(core)
}

/** The holder's side of a buffer: its leash, its slot, its registration. */
export class HeldBuffer implements SharedState, BufferName, PlacedOwner, HostOwner, FenceOwner {
  readonly core: BufferCore
  readonly state: RemoteState
  readonly record: number
  readonly idLow: number
  readonly idHigh: number
  readonly words: SharedWords
  readonly base: number
  /** Of a buffer that was placed when it came. */
  readonly placed: PlacedHolder | undefined
  /** A writing end: as long as it is open, the exporter keeps the buffer. -1 while parked. */
  leash: number
  readonly #slot: HolderSlot
  /** Of the registration; 0: none. */
  #serial = 0
  /** Evicted, and received again: registers when the brackets of before have ended. */
  #returning = false

  /** Consumes `leash`. `generation` is that of the storage; 0 for a placed buffer, whose storage is to come. */
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
    core.coherence = coherenceFor(core, coherencyOf(this.words.get(this.base + StateRecord.flags)))
    core.forgetInterrupted()
    core.host = new RemoteHost(this)
    core.fences = new RemoteFences(this)
    this.placed = generation === 0 ? new PlacedHolder(this) : undefined
    core.entry = this.placed
    core.onUnused = () => this.#unused()
    core.onUnwrapped = () => (core.recycled ? core.relocate() : core.unmap())
    core.onDestroy = () => this.#destroyed()
    state.cores.set(name.record, core)
    held.set(core, this)
    // Its storage comes only to those who have registered.
    if (this.placed !== undefined) this.register()
    else this.#registerSoon()
  }

  // ---- registration -----------------------------------------------------------------------------------------

  /** Tells the exporter, if it has not been told. Nothing is sent for a buffer that is closed by then. */
  register(): void {
    if (this.#serial !== 0 || this.leash < 0) return
    this.core.beforeWrite = undefined
    this.#serial = this.state.exporter.register(this, this.#slot, this.leash)
  }

  /**
   * A buffer that is looked at and closed within one turn need not be registered at all, which saves both processes
   * three messages; one that is written to must be before it is written, so that its writer's death is noticed.
   */
  #registerSoon(): void {
    this.core.beforeWrite = () => this.register()
    registerLater(this)
  }

  /** The buffer came again; `leash` is consumed. */
  receivedAgain(leash: number): void {
    unpark(this.core)
    if (this.leash < 0) this.leash = leash
    else addon().close(leash)
    this.cameAgain()
  }

  /** As {@link receivedAgain}, by name. */
  cameAgain(): void {
    if (this.#serial !== 0) return
    if (this.placed === undefined) this.#registerSoon()
    else {
      this.#returning = true
      this.#comeBack()
    }
  }

  /** With brackets open on the storage of before it would hold up moves that it has no part in. */
  #comeBack(): void {
    if (!this.#returning || this.core.openBrackets > 0) return
    this.#returning = false
    this.placed?.found()
    this.register()
  }

  // ---- what the exporter knows of it ------------------------------------------------------------------------

  get segment(): number {
    return this.state.segment
  }

  get exporterAlive(): boolean {
    return this.state.exporter.alive
  }

  askAlive(): Promise<void> {
    return this.state.exporter.askAlive(this.leash)
  }

  get cut(): boolean {
    return this.state.exporter.cut
  }

  /** Generation of the storage that this environment has. */
  get generation(): number {
    return this.#slot.words.get(this.#slot.base + Slot.mapped)
  }

  set generation(generation: number) {
    this.#slot.words.set(this.#slot.base + Slot.mapped, generation)
    this.core.generation = generation
  }

  get othersWrite(): boolean {
    if (!this.exporterAlive) return false
    return (this.words.load(this.base + StateRecord.writeSequence) & 1) !== 0
  }

  holders(): HolderInfo[] {
    return []
  }

  revoke(): void {
    // Only the exporter can; its own Published does.
  }
  // ---- what the exporter says -------------------------------------------------------------------------------

  /** `fd` came along (-1: none) and is consumed. Returns what is wrong. */
  message(message: PrivateMessage, fd: number): string | undefined {
    const { core, placed } = this
    switch (message.type) {
      case PrivateType.storage:
        return this.#storage(message, fd)
      case PrivateType.go:
        if (message.serial === this.#serial) placed?.go(message.generation)
        return undefined
      case PrivateType.evicted:
        if (message.serial === this.#serial) this.#evicted()
        return undefined
      case PrivateType.freed:
        if (core.references === 0) core.destroy()
        return undefined
      // An error: whoever sent it had no leash of it. The exporter may give the memory to others.
      default:
        core.revoked = true
        core.unmap()
        placed?.wake()
        return undefined
    }
  }

  /** It is dead, or out of reach for good. */
  exporterEnded(): void {
    this.placed?.exporterEnded()
  }

  #storage(message: PrivateMessage, fd: number): string | undefined {
    const { core, placed } = this
    if (fd < 0) return 'storage without its descriptor'
    // Of an earlier registration: the exporter's moves do not wait for the brackets of this one yet.
    if (placed === undefined || message.serial !== this.#serial) {
      dismiss(fd)
      return undefined
    }
    const body = readStorageBody(rx(), PRIVATE_BYTES)
    const storage = admitPlaced(fd, body.offset, core.storage)
    if (typeof storage === 'string' || !placed.hasRoom) {
      dismiss(fd)
      return typeof storage === 'string' ? storage : 'more storages of one buffer than it can need'
    }
    this.tell({ type: PrivateType.taken, generation: message.generation, serial: this.#serial })
    if (body.byteLength === core.storage.byteLength) placed.sent(storage, message.generation)
    else {
      // The exporter is right, by definition: whoever forwarded the buffer told another size.
      addon().close(fd)
      const what = `buffer ${core.name} has ${body.byteLength} bytes, not ${core.storage.byteLength}`
      placed.lose(problem('protocol', { what }))
    }
    return undefined
  }

  #evicted(): void {
    this.#serial = 0
    this.placed?.lose(problem('evicted', { name: this.core.name }))
  }

  // ---- what is asked of the exporter ------------------------------------------------------------------------

  get lost(): DmaBufError | undefined {
    return this.placed?.lost
  }

  tell(message: PrivateInit, body?: Uint8Array): void {
    this.state.exporter.tell(this, message, body === undefined ? {} : { body })
  }

  ask(message: PrivateInit, request: Request, freight?: PrivateFreight): number {
    // The exporter listens to those who have proven that they hold the buffer.
    this.register()
    return this.state.exporter.ask(this, message, request, freight)
  }

  async request(message: PrivateInit, body?: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const answer = ({ type }: PrivateMessage) => {
        if (type !== PrivateType.done) return { wrong: 'a table for what was no map' }
        resolve()
        return 'last' as const
      }
      this.ask(message, { name: this.core.name, answer, fail: reject }, body === undefined ? {} : { body })
    })
  }

  addAttachment(moved: (() => void) | undefined): number {
    return this.state.exporter.addAttachment(moved, this.core.name)
  }

  removeAttachment(id: number): void {
    this.state.exporter.removeAttachment(id)
  }

  settle(): void {
    this.placed?.settle()
  }

  readNow(enough: () => boolean): void {
    this.state.exporter.readNow(enough)
  }

  lowered(): void {
    this.tell({ type: PrivateType.lowered, serial: this.#serial })
  }

  left(): void {
    this.#comeBack()
  }

  want(): Promise<void> {
    return this.request({ type: PrivateType.want })
  }

  pin(): Promise<void> {
    return this.request({ type: PrivateType.pin, argument: 0 })
  }

  ref(): void {
    this.state.exporter.ref()
  }

  unref(): void {
    this.state.exporter.unref()
  }

  // ---- the end ----------------------------------------------------------------------------------------------

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
    this.placed?.close()
    this.state.cores.delete(this.record)
    if (this.#serial !== 0) this.tell({ type: PrivateType.release }, faultsBody(bracketFaults(this.core)))
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
