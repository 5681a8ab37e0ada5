import { BufferCore } from '../dmabuf/buffer-core.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { StateRecord } from '../dmabuf/words.ts'
import { limits } from '../internal/limits.ts'
import { type Admitted, admitLeash, admitStorage, dismiss, dmaBufNames, isWritable } from '../memory/gate.ts'
import { addon } from '../native/load.ts'
import { exporterPort } from './exporter-port.ts'
import { type Handle, HandleFlag, readHandle, readNamed } from './handle.ts'
import { HeldBuffer, heldBuffer } from './held-buffer.ts'
import { holderPort, recordIs, recordOf, type StateRef } from './holder-port.ts'
import type { IncomingDescriptors } from './incoming-descriptors.ts'
import { KeptBuffers } from './kept-buffers.ts'
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
    if (name !== undefined)
      return this.kept.find(name) ?? `a buffer is named ${name} that this side does not keep`
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

  /** Consumes the descriptors when it returns a buffer, or throws. */
  #open(handle: Handle, bare: boolean, storage: number, leash: number): BufferCore | string {
    if (storage < 0) return 'a handle without storage'
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
      dismiss(storage)
      native.close(leash)
      return own
    }
    const { words, base } = recordOf(state, record)
    const generation = Atomics.load(words, base + StateRecord.generation)
    const known = state.cores.get(record)
    const last = known === undefined ? undefined : heldBuffer(known)
    const held = last?.idLow === idLow && last.idHigh === idHigh ? last : undefined
    if (known !== undefined && held?.generation === generation) {
      // Here already, or parked, with the storage that its record names: this descriptor is not needed.
      dismiss(storage)
      held.receivedAgain(leash)
      return known
    }
    const admitted = this.#admit(handle, storage)
    if (typeof admitted === 'string') return admitted
    const { facts } = admitted
    const bound =
      words[base + StateRecord.storageInodeLow] === facts.inodeLow &&
      words[base + StateRecord.storageInodeHigh] === facts.inodeHigh &&
      words[base + StateRecord.storageDeviceLow] === facts.deviceLow &&
      words[base + StateRecord.storageDeviceHigh] === facts.deviceHigh &&
      Atomics.load(words, base + StateRecord.generation) === generation
    if (!bound) return 'a handle whose storage is not the one its record names'
    if (known !== undefined && held !== undefined) {
      if (known.references > 0) return 'the storage of a fixed buffer was replaced while it is held'
      known.replaceStorage(storageOf(handle, admitted, storage), undefined)
      held.generation = generation
      held.receivedAgain(leash)
      return known
    }
    // A parked buffer of a record that was used again: its exporter is done with it.
    if (known !== undefined && known.references === 0) known.destroy()
    else if (known !== undefined) return 'a record was used again while its buffer is held'
    const core = this.#newCore(handle, admitted, storage, 'holder')
    core.recycled = (handle.flags & HandleFlag.recycled) !== 0
    try {
      new HeldBuffer(core, state, { segment: state.segment, record, idLow, idHigh }, generation, leash)
    } catch (error) {
      core.destroy()
      native.close(leash)
      throw error
    }
    return core
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

/** What the kernel's seals say of the sharing, not what the message claims. */
function storageOf(handle: Handle, { kind, facts }: Admitted, fd: number): Storage {
  const claimed = (handle.flags & HandleFlag.readOnly) !== 0
  const writable = !claimed && isWritable(facts)
  const { offset, byteLength } = handle
  return { fd, offset, byteLength, kind, sharing: writable ? 'writable' : 'read-only', writable, charged: 0 }
}
