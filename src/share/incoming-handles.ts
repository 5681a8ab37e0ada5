import { BufferCore } from '../dmabuf/buffer-core.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { RecordFlag, StateRecord } from '../dmabuf/words.ts'
import { limits } from '../internal/limits.ts'
import { type Admitted, admitLeash, admitStorage, dismiss, dmaBufNames, isWritable } from '../memory/gate.ts'
import { addon } from '../native/load.ts'
import { exporterPort } from './exporter-port.ts'
import { type Handle, HandleFlag, readHandle, readNamed } from './handle.ts'
import { HeldBuffer, heldBuffer } from './held-buffer.ts'
import { holderPort, recordIs, recordOf, type StateRef } from './holder-port.ts'
import type { IncomingDescriptors } from './incoming-descriptors.ts'
import { KeptBuffers } from './kept-buffers.ts'
import { admitPlaced, storageIs, storageToCome } from './received-storage.ts'
import { RemoteState } from './remote-state.ts'

/** Whether memory that may still shrink is taken from this peer. */
export type Trust = 'sealed' | 'unsealed'

/**
 * The receiving half of a channel's buffers: binds what came (storage, leash, record) together, checked against
 * what the kernel says and what only the exporter can write, and finds the inner buffer for it.
 */
export class IncomingHandles {
  readonly kept: KeptBuffers
  readonly #exporters = new Map<number, StateRef>()
  readonly #trust: Trust

  constructor(trust: Trust, tell: (type: number, name: number) => void) {
    this.#trust = trust
    this.kept = new KeptBuffers(tell)
  }

  /** An `exporter` packet: consumes both descriptors. Returns what is wrong, or a wait for the knock at its door. */
  addExporter(index: number, state: number, door: number): string | Promise<void> | undefined {
    if (index >= limits.maxExportersPerChannel || this.#exporters.has(index)) {
      addon().closeLater(door < 0 ? [state] : [state, door])
      return `exporter ${index} is named twice or beyond the limit`
    }
    const opened = holderPort().open(state, door)
    if (typeof opened === 'string') return opened
    this.#exporters.set(index, opened)
    if (!(opened instanceof RemoteState)) return undefined
    opened.use()
    return opened.exporter.ready
  }

  /** The inner buffer of the handle at a place, to be wrapped at once; or what is wrong. */
  receive(view: DataView, at: number, descriptors: IncomingDescriptors): BufferCore | string {
    const name = readNamed(view, at)
    if (name !== undefined) return this.#named(name)
    const handle = readHandle(view, at)
    if (typeof handle === 'string') return handle
    const storage = (handle.flags & HandleFlag.storage) !== 0 ? descriptors.take() : -1
    const leash = (handle.flags & HandleFlag.leash) !== 0 ? descriptors.take() : -1
    const bare = (handle.flags & HandleFlag.bare) !== 0
    const core = this.#open(handle, bare, storage, leash)
    if (typeof core === 'string') addon().closeLater([storage, leash].filter((fd) => fd >= 0))
    else if (!bare) this.kept.received(core, handle.name)
    return core
  }

  #named(name: number): BufferCore | string {
    const core = this.kept.find(name)
    if (core === undefined) return `a buffer is named ${name} that this side does not keep`
    heldBuffer(core)?.cameAgain()
    return core
  }

  /** Consumes the descriptors when it returns a buffer, or throws. */
  #open(handle: Handle, bare: boolean, storage: number, leash: number): BufferCore | string {
    if (storage < 0 && (bare || (handle.flags & HandleFlag.placed) === 0)) return 'a handle without storage'
    if (!bare) return this.#bound(handle, storage, leash)
    return leash < 0 ? this.#bare(handle, storage) : 'a leash of memory that no exporter speaks for'
  }

  /** A buffer with a record. Consumes the descriptors when it returns a buffer. */
  #bound(handle: Handle, storage: number, leash: number): BufferCore | string {
    const native = addon()
    const { record, idLow, idHigh } = handle
    const state = this.#exporters.get(handle.exporter)
    if (state === undefined) return `exporter ${handle.exporter} was never named`
    if (leash < 0) return 'a handle without a leash'
    if (!recordIs(state, record, idLow, idHigh)) return 'a handle whose record is another one or free'
    const leashed = admitLeash(leash)
    if (leashed !== true) return leashed
    if (!(state instanceof RemoteState)) {
      const own = state.find(record, idLow, idHigh)
      if (own === undefined) return 'a handle of a buffer that was released'
      // The proof that the sender has it: record and id are no secret, and could name any buffer that ever left.
      if (exporterPort().published(own)?.leash.owns(leash) !== true)
        return 'a handle with the leash of another buffer'
      if (storage >= 0) dismiss(storage)
      native.close(leash)
      return own
    }
    const { words, base } = recordOf(state, record)
    const flags = words.load(base + StateRecord.flags)
    if ((handle.flags & HandleFlag.placed) !== 0) {
      if ((flags & RecordFlag.placed) === 0)
        return 'a handle without storage of a buffer that was never placed'
      return this.#placed(handle, state, storage, leash)
    }
    // Storage that may move any time is given only to those who register.
    if ((flags & (RecordFlag.placed | RecordFlag.fixed)) === RecordFlag.placed)
      return 'a handle that takes a placed buffer for a fixed one'
    return this.#fixed(handle, state, storage, leash)
  }

  /** A buffer whose storage is in the handle, and never another. Consumes the descriptors when it returns one. */
  #fixed(handle: Handle, state: RemoteState, storage: number, leash: number): BufferCore | string {
    const { words, base } = recordOf(state, handle.record)
    const generation = words.load(base + StateRecord.generation)
    const { known, held } = heldAs(state, handle)
    if (held !== undefined && held.generation === generation) {
      // Here already, or parked, with the storage that its record names: this descriptor is not needed.
      dismiss(storage)
      held.receivedAgain(leash)
      return held.core
    }
    const admitted = this.#admit(handle, storage)
    if (typeof admitted === 'string') return admitted
    const bound =
      storageIs(words, base, admitted.facts) && words.load(base + StateRecord.generation) === generation
    if (!bound) return 'a handle whose storage is not the one its record names'
    if (held?.placed !== undefined) {
      // It was fixed since it came; this one serves if its exporter has died in between.
      const fallback = admitPlaced(storage, handle.offset, held.core.storage)
      return typeof fallback === 'string' ? fallback : again(held, leash, fallback, generation)
    }
    if (held !== undefined) {
      if (held.core.references > 0) return 'the storage of a fixed buffer was replaced while it is held'
      held.core.replaceStorage(storageOf(handle, admitted, storage), undefined)
      held.generation = generation
      held.receivedAgain(leash)
      return held.core
    }
    if (known !== undefined && known.references > 0) return 'a record was used again while its buffer is held'
    // A parked buffer of a record that was used again: its exporter is done with it.
    known?.destroy()
    const core = this.#newCore(handle, admitted, storage, 'holder')
    core.recycled = (handle.flags & HandleFlag.recycled) !== 0
    hold(core, state, handle, generation, leash)
    return core
  }

  /** A buffer that its exporter may move: the storage, if there is one, is a fallback. Consumes the descriptors likewise. */
  #placed(handle: Handle, state: RemoteState, storage: number, leash: number): BufferCore | string {
    const { words, base } = recordOf(state, handle.record)
    const writable = (words.load(base + StateRecord.flags) & RecordFlag.readOnly) === 0
    const { known, held } = heldAs(state, handle)
    const toCome = held?.core.storage ?? storageToCome(handle.byteLength, writable)
    const fallback = storage < 0 ? undefined : admitPlaced(storage, handle.offset, toCome)
    if (typeof fallback === 'string') return fallback
    if (held !== undefined) return again(held, leash, fallback, handle.generation)
    if (known !== undefined && known.references > 0) return 'a record was used again while its buffer is held'
    known?.destroy()
    const core = new BufferCore({
      name: handle.label,
      exporterName: handle.exporterName || 'foreign',
      role: 'holder',
      storage: toCome,
    })
    try {
      return again(hold(core, state, handle, 0, leash), -1, fallback, handle.generation)
    } catch (error) {
      if (storage >= 0) addon().close(storage)
      throw error
    }
  }

  /** Memory that no exporter speaks for: in this environment it begins here. */
  #bare(handle: Handle, storage: number): BufferCore | string {
    const admitted = this.#admit(handle, storage)
    if (typeof admitted === 'string') return admitted
    return this.#newCore(handle, admitted, storage, 'exporter')
  }

  #admit(handle: Handle, storage: number): Admitted | string {
    const admitted = admitStorage(storage)
    if (typeof admitted === 'string') return `storage that cannot be mapped: ${admitted}`
    if (admitted.kind === 'unsealed' && this.#trust !== 'unsealed') {
      return "storage that may still shrink (accept it with { trust: 'unsealed' })"
    }
    const { size } = admitted.facts
    if (handle.offset > size || handle.byteLength > size - handle.offset) {
      return `storage of ${size} bytes for a buffer of ${handle.byteLength} at ${handle.offset}`
    }
    return admitted
  }

  #newCore(handle: Handle, admitted: Admitted, fd: number, role: 'exporter' | 'holder'): BufferCore {
    const names = admitted.kind === 'dma-buf' ? dmaBufNames(fd) : undefined
    return new BufferCore({
      name: handle.label,
      exporterName: names?.exporterName ?? (handle.exporterName || 'foreign'),
      role,
      storage: storageOf(handle, admitted, fd),
    })
  }

  close(): void {
    this.kept.close()
    for (const state of this.#exporters.values()) if (state instanceof RemoteState) state.unuse()
    this.#exporters.clear()
  }
}

/** The buffer that is here under a handle's record, and whether it is the handle's own. */
function heldAs(
  state: RemoteState,
  { record, idLow, idHigh }: Handle,
): { known: BufferCore | undefined; held: HeldBuffer | undefined } {
  const known = state.cores.get(record)
  const held = known === undefined ? undefined : heldBuffer(known)
  return { known, held: held?.idLow === idLow && held.idHigh === idHigh ? held : undefined }
}

/** Makes this environment a holder; consumes `leash`, and the buffer when that fails. */
function hold(
  core: BufferCore,
  state: RemoteState,
  { record, idLow, idHigh }: Handle,
  generation: number,
  leash: number,
): HeldBuffer {
  try {
    return new HeldBuffer(core, state, { segment: state.segment, record, idLow, idHigh }, generation, leash)
  } catch (error) {
    core.destroy()
    addon().close(leash)
    throw error
  }
}

/** A placed buffer came, with the storage of whoever sent it, perhaps. Consumes both descriptors; -1: no other leash. */
function again(
  held: HeldBuffer,
  leash: number,
  storage: Storage | undefined,
  generation: number,
): BufferCore {
  if (leash >= 0) held.receivedAgain(leash)
  if (storage === undefined) return held.core
  if (held.placed === undefined) dismiss(storage.fd)
  else held.placed.offerFallback(storage, generation)
  return held.core
}

/** What the kernel's seals say of the sharing, not what the message claims. */
function storageOf(handle: Handle, { kind, facts }: Admitted, fd: number): Storage {
  const claimed = (handle.flags & HandleFlag.readOnly) !== 0
  const writable = !claimed && isWritable(facts)
  const { offset, byteLength } = handle
  return { fd, offset, byteLength, kind, sharing: writable ? 'writable' : 'read-only', writable, charged: 0 }
}
