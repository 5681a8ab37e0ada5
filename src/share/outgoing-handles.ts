import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { StateRecord } from '../dmabuf/words.ts'
import { checked, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import { exporterPort } from './exporter-port.ts'
import { HandleFlag, writeHandle, writeNamed } from './handle.ts'
import { type HeldBuffer, heldBuffer } from './held-buffer.ts'
import { Published } from './published.ts'
import type { Reader } from './reader.ts'
import type { RemoteState } from './remote-state.ts'
import { StateSegment } from './state-segment.ts'

/** Descriptors of the message being written, and those among them to close when it has left. */
export interface OutgoingDescriptors {
  count: number
  /** Sent and then closed here: fresh writing ends of leashes. */
  readonly owned: number[]
}

/** Where a buffer's record is: in this environment's own state, or in another's that it holds. */
type Source = Published | HeldBuffer

/** A state segment that the peer has to be told of, with its door: -1 where it has none. */
export interface Introduction {
  readonly index: number
  readonly state: number
  readonly door: number
  /** The door is a connected end made for this peer, to be closed when it has left. */
  readonly doorOwned: boolean
}

/** In a handle for a plain peer, which is told of no exporter. */
const NO_EXPORTER = 0xffff_ffff

/** How many offers of a name are remembered for the peer's answer. */
const MAX_OFFERS = 256

/**
 * The sending half of a channel's buffers: which exporters the peer knows by index, and which buffers it keeps, so
 * that a name is enough.
 */
export class OutgoingHandles {
  readonly #exporters = new Map<StateSegment | RemoteState, number>()
  readonly #offers = new Map<number, WeakRef<BufferCore>>()
  readonly #keptNames = new WeakMap<BufferCore, number>()
  readonly #keptByName = new Map<number, WeakRef<BufferCore>>()
  readonly #reader: Reader
  #lastName = 0

  constructor(reader: Reader) {
    this.#reader = reader
  }

  /** Whether the peer keeps this buffer, so that naming it needs no descriptor. */
  isKept(core: BufferCore): boolean {
    return this.#keptNames.has(core)
  }

  /** What the peer must be told before a handle of this buffer, if anything; it counts as told from now on. */
  introduce(core: BufferCore): Introduction | undefined {
    const { state } = sourceOf(core)
    if (this.#exporters.has(state)) return undefined
    const index = this.#exporters.size
    if (index >= limits.maxExportersPerChannel) {
      throw problem('message', { why: `more than ${limits.maxExportersPerChannel} exporters on one channel` })
    }
    let door = -1
    let doorOwned = false
    if (!(state instanceof StateSegment)) door = state.exporter.door
    else if (exporterPort().door !== undefined) door = exporterPort().door?.fd ?? -1
    else {
      door = checked(exporterPort().connectedEnd(), 'socketpair', 'making a connection for a holder')
      doorOwned = true
    }
    if (!(state instanceof StateSegment)) state.use()
    this.#exporters.set(state, index)
    return { index, state: state.fd, door, doorOwned }
  }

  /** The introduction could not be sent. */
  unintroduced(core: BufferCore): void {
    const { state } = sourceOf(core)
    if (this.#exporters.delete(state) && !(state instanceof StateSegment)) state.unuse()
  }

  /** Writes the handle at `at` of the packet and its descriptors behind those that are there. */
  write(view: DataView, at: number, core: BufferCore, descriptors: OutgoingDescriptors): void {
    const kept = this.#keptNames.get(core)
    const { storage } = core
    const readOnly = storage.sharing === 'read-only' ? HandleFlag.readOnly : 0
    if (kept !== undefined) {
      writeNamed(view, at, HandleFlag.named | readOnly, kept)
      return
    }
    const source = sourceOf(core)
    const { words, base } = source
    let flags = HandleFlag.leash | readOnly | storageFlags(core)
    let generation = words.get(base + StateRecord.generation)
    if (core.recycled) flags |= HandleFlag.recycled
    if ((flags & HandleFlag.fallback) !== 0) generation = core.generation
    if ((flags & HandleFlag.storage) !== 0) push(descriptors, storage.fd)
    if (source instanceof Published) {
      source.noteFixed()
      const leash = source.leash.openWriteEnd()
      descriptors.owned.push(leash)
      source.readers.add(this.#reader)
      push(descriptors, leash)
    } else push(descriptors, source.leash)
    writeHandle(view, at, {
      flags,
      exporter: this.#exporters.get(source.state) ?? NO_EXPORTER,
      record: source.record,
      generation,
      idLow: source.idLow,
      idHigh: source.idHigh,
      byteLength: storage.byteLength,
      offset: storage.offset,
      name: this.#offer(core),
      exporterName: core.exporterName,
      label: core.name,
    })
  }

  /** The peer keeps the buffer that was called `name`. */
  keep(name: number): void {
    const core = this.#offers.get(name)?.deref()
    if (core === undefined || core.destroyed || this.#keptByName.size >= limits.maxKeptBuffers) return
    this.#keptNames.set(core, name)
    this.#keptByName.set(name, new WeakRef(core))
  }

  /** The peer is about to let go of it: it is not named any more. */
  forget(name: number): void {
    const core = this.#keptByName.get(name)?.deref()
    this.#keptByName.delete(name)
    if (core !== undefined && this.#keptNames.get(core) === name) this.#keptNames.delete(core)
  }

  #offer(core: BufferCore): number {
    this.#lastName = (this.#lastName + 1) >>> 0
    this.#offers.set(this.#lastName, new WeakRef(core))
    if (this.#offers.size > MAX_OFFERS) {
      for (const oldest of this.#offers.keys()) {
        this.#offers.delete(oldest)
        break
      }
    }
    return this.#lastName
  }

  close(): void {
    for (const state of this.#exporters.keys()) if (!(state instanceof StateSegment)) state.unuse()
    this.#exporters.clear()
    this.#offers.clear()
    this.#keptByName.clear()
  }
}

function sourceOf(core: BufferCore): Source {
  return heldBuffer(core) ?? exporterPort().publish(core)
}

/** A placed buffer goes without storage; a holder adds what it has, in case that the exporter is dead when it arrives. */
function storageFlags({ entry, role, generation }: BufferCore): number {
  if (entry === undefined) return HandleFlag.storage
  if (role === 'exporter' || generation === 0) return HandleFlag.placed
  return HandleFlag.placed | HandleFlag.storage | HandleFlag.fallback
}

function push(descriptors: OutgoingDescriptors, fd: number): void {
  addon().scratch.outgoing[descriptors.count++] = fd
}
