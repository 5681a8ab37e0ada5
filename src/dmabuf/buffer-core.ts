import { diagnostics } from '../internal/diagnostics.ts'
import { errno, problem, systemError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { boolean } from '../internal/validate.ts'
import { refund } from '../memory/budget.ts'
import { FROZEN_SEALS, isFrozen } from '../memory/seals.ts'
import type { Mapping, SequenceWord } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { AttachmentHost } from './attachment-host.ts'
import type { Entry } from './entry.ts'
import type { ExporterOps } from './exporter-ops.ts'
import { checkView, mapStorage } from './map-storage.ts'
import { givePrivateSlot, privateBase, privateWords, takePrivateSlot } from './private-slots.ts'
import type { SharedState } from './shared-state.ts'
import type { Storage } from './storage.ts'
import { swapMappings } from './swap-storage.ts'
import { RecordFlag, SLOT_WORDS, Slot, StateRecord } from './words.ts'

// Shared by all buffers, so that making one makes no closures.
const unmap = (core: BufferCore) => core.unmap()
const idle = (core: BufferCore) => core.onIdle(core)
const destroy = (core: BufferCore) => core.destroy()
const nothing = () => {}
const fixed = Promise.resolve()

const live = new Set<BufferCore>()
let serial = 0
let stacks = process.env['DMABUF_STACKS'] === '1'

/** Whether buffers remember the stack that created them, shown by `bufinfo`; also DMABUF_STACKS=1. */
export function recordStacks(on: boolean): void {
  stacks = boolean('on', on)
}

export function liveBuffers(): Iterable<BufferCore> {
  return live
}

export interface CoreInit {
  readonly name: string
  readonly exporterName: string
  readonly role: 'exporter' | 'holder'
  readonly storage: Storage
  /** Where there is a mapping already that a seal forbids to make again. */
  readonly mapping?: Mapping
}

/**
 * The one inner buffer of an environment, whatever the number of `DmaBuf` wrappers over it. Invariants:
 * `wrappers <= references`; views exist only while `wrappers > 0`; the descriptor is closed exactly once, by
 * `destroy`.
 */
export class BufferCore {
  readonly id = ++serial
  readonly name: string
  readonly exporterName: string
  readonly role: 'exporter' | 'holder'
  readonly createdAt: string | undefined
  storage: Storage
  /** Counts the storages that the buffer has had; 0 while a placed buffer has none. */
  generation = 1
  /** Bracket words: private to this environment until it is given a slot of a holder segment. */
  slot: Uint32Array
  slotBase: number
  shared: SharedState | undefined
  revoked = false
  /** Comes again and again (a pool): its pages stay mapped between two uses. */
  recycled = false
  /** The program took the descriptor, and may have passed it on. */
  exposed = false
  destroyed = false
  wrappers = 0
  /** Wrappers, and whatever else needs the storage: a message that waits to be sent, a promise to the peer. */
  references = 0

  /** The last wrapper is gone: by default the views go. */
  onUnwrapped = unmap
  /** Nothing here needs the buffer any more; somebody elsewhere may. */
  onUnused = idle
  /** Nobody anywhere needs it: by default it is given back. */
  onIdle = destroy
  /** Runs inside `destroy`, before the descriptor is closed. */
  onDestroy = nothing
  /** The exporter's own, in its environment; told of brackets here. */
  ops: ExporterOps | undefined
  /** What stands before the storage of a placed buffer; a fixed one has nothing there. */
  entry: Entry | undefined
  /** Where devices attach. */
  host: AttachmentHost | undefined
  /** Of a placed buffer: gives it storage, if it has none, and keeps it there for good. */
  onFix: (() => Promise<void>) | undefined
  /** Runs before the first write bracket is raised, if there is anything to do. */
  beforeWrite: (() => void) | undefined

  shown: WeakRef<Uint8Array> | undefined

  readonly #privateSlot: number
  #mapping: Mapping | undefined
  /** Mappings of parts, and the byte of the buffer at which each begins. */
  #ranges: Map<Mapping, number> | undefined
  #brokenSeen = 0
  #uncounted: number

  constructor(init: CoreInit) {
    this.name = init.name
    this.exporterName = init.exporterName
    this.role = init.role
    this.storage = init.storage
    this.#mapping = init.mapping
    this.createdAt = stacks ? new Error(`buffer ${init.name}`).stack : undefined
    this.#privateSlot = takePrivateSlot()
    this.slot = privateWords(this.#privateSlot)
    this.slotBase = privateBase(this.#privateSlot)
    this.#uncounted = init.storage.byteLength
    addon().adjustExternalMemory(this.#uncounted)
    live.add(this)
  }

  // ---- references ---------------------------------------------------------------------------------------

  retain(): void {
    this.references++
  }

  release(): void {
    if (--this.references === 0 && !this.destroyed) this.onUnused(this)
  }

  wrap(): void {
    this.retain()
    if (this.wrappers++ === 0 && diagnostics.bufferOpened.hasSubscribers) {
      const { id, name, exporterName, role } = this
      const byteLength = this.storage.byteLength
      diagnostics.bufferOpened.publish({ id, name, byteLength, exporterName, role })
    }
  }

  unwrap(collected: boolean): void {
    if (--this.wrappers === 0) {
      this.onUnwrapped(this)
      if (diagnostics.bufferClosed.hasSubscribers) {
        diagnostics.bufferClosed.publish({ id: this.id, name: this.name, role: this.role, collected })
      }
    }
    this.release()
  }

  /** Gives everything back: views, mapping, descriptor, budget. Idempotent. */
  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    live.delete(this)
    this.unmap()
    try {
      this.onDestroy()
    } finally {
      // The exporter's release() is a stranger's code, and may throw.
      givePrivateSlot(this.#privateSlot)
      this.countedByView()
      if (this.storage.fd >= 0) addon().close(this.storage.fd)
      refund(this.storage.charged)
      if (this.role === 'exporter' && diagnostics.bufferReleased.hasSubscribers) {
        diagnostics.bufferReleased.publish({ id: this.id, name: this.name })
      }
    }
  }

  /** Resolves when the buffer has its storage and moves no more; at once for a fixed buffer. */
  fix(): Promise<void> {
    return this.onFix === undefined ? fixed : this.onFix()
  }

  // ---- memory ---------------------------------------------------------------------------------------------

  get mapping(): Mapping {
    if (this.#mapping !== undefined) return this.#mapping
    checkView(this.storage.byteLength)
    this.#mapping = mapStorage(this.storage, 0, this.storage.byteLength, this.name)
    return this.#mapping
  }

  get faulted(): boolean {
    return (
      this.#mapping?.faulted === true ||
      (this.#ranges !== undefined && [...this.#ranges.keys()].some((range) => range.faulted))
    )
  }

  /** A mapping of its own for a range; closed with the last wrapper at the latest. */
  mapRange(offset: number, length: number): Mapping {
    if (this.isRevoked) throw problem('revoked', { name: this.name })
    checkView(length)
    const mapping = this.#duplicates
      ? this.mapping.duplicate(offset, length)
      : mapStorage(this.storage, offset, length, this.name)
    if (typeof mapping === 'number') throw systemError(mapping, 'mremap', `mapping buffer ${this.name}`)
    this.#ranges ??= new Map()
    this.#ranges.set(mapping, offset)
    return mapping
  }

  /** Whether a range is still mapped: freeze() and revoke() take it away from under its owner. */
  hasRange(mapping: Mapping): boolean {
    return this.#ranges?.has(mapping) === true
  }

  unmapRange(mapping: Mapping): void {
    this.#ranges?.delete(mapping)
    mapping.close()
  }

  /** Detaches every view, then gives the addresses up. */
  unmap(): void {
    this.unmapRanges()
    if (this.#duplicates && !this.destroyed) this.relocate()
    else {
      this.#mapping?.close()
      this.#mapping = undefined
    }
  }

  unmapRanges(): void {
    if (this.#ranges === undefined) return
    for (const range of this.#ranges.keys()) range.close()
    this.#ranges = undefined
  }

  /** Detaches every view but keeps the pages mapped, at other addresses, for the next use. */
  relocate(): void {
    this.unmapRanges()
    if (this.#mapping === undefined || this.#mapping.relocate() === 0) return
    this.#mapping.close()
    this.#mapping = undefined
  }

  refresh(): void {
    this.#mapping?.refresh()
    for (const range of this.#ranges?.keys() ?? []) range.refresh()
  }

  get frozen(): boolean {
    // What many may write carries F_SEAL_SEAL: it can never be frozen, and need not be asked.
    const { fd, kind, sharing } = this.storage
    if (fd < 0 || sharing === 'writable' || kind !== 'memfd') return false
    return isFrozen(addon().getSeals(fd))
  }

  /** Gives up the writable mapping and seals the storage against every write, for good. */
  freeze(): void {
    const { storage, name } = this
    if (this.frozen) return
    const refuse = (reason: string) => problem('notFreezable', { name, reason })
    if (this.role !== 'exporter') throw refuse('this process is not its exporter')
    if (storage.sharing !== 'read-only') throw refuse("it is shared as 'writable'")
    if (storage.charged === 0) throw refuse('its memory was not allocated by this library')
    const open = this.openBrackets
    if (open > 0) throw problem('openBrackets', { name, count: open })
    this.unmapRanges()
    this.#mapping?.close()
    this.#mapping = undefined
    // Whatever comes of it: the one mapping that could write is gone.
    this.storage = { ...storage, writable: false }
    const result = addon().addSeals(storage.fd, FROZEN_SEALS)
    // Another mapping is still there: memory transferred away with its ArrayBuffer.
    if (result === -errno.EBUSY) throw refuse('its memory is still mapped for writing in this process')
    if (result < 0) throw systemError(result, 'fcntl', `sealing buffer ${name}`)
  }

  /** New storage under the same buffer; the old one is closed. Only while nobody uses it. */
  replaceStorage(storage: Storage, mapping: Mapping | undefined): void {
    this.unmapRanges()
    this.#mapping?.close()
    this.#mapping = mapping
    this.#setStorage(storage)
    this.generation++
  }

  /**
   * New storage under the same buffer and at the same addresses: views that JavaScript has show it from now on. `storage`
   * and `prepared`, a mapping of all of it if there is one, are consumed, unless this throws: then nothing has changed. The
   * generation is the caller's to set.
   */
  swapStorage(storage: Storage, prepared?: Mapping): void {
    this.#mapping = swapMappings(this.#mapping, this.#ranges, storage, prepared, this.name)
    this.#setStorage(storage)
  }

  #setStorage(storage: Storage): void {
    const { fd, charged } = this.storage
    if (fd >= 0) addon().close(fd)
    refund(charged)
    this.storage = storage
  }

  /** The exporter of read-only memory keeps the one writable mapping that its own seal forbids to make again. */
  get #duplicates(): boolean {
    return this.storage.sharing === 'read-only' && this.storage.writable
  }

  /** V8 counts the bytes of an ArrayBuffer itself; until there is one, they are told to it for the wrapper. */
  countedByView(): void {
    if (this.#uncounted === 0) return
    addon().adjustExternalMemory(-this.#uncounted)
    this.#uncounted = 0
  }

  // ---- brackets -------------------------------------------------------------------------------------------

  get openBrackets(): number {
    return this.slot[this.slotBase + Slot.count] ?? 0
  }

  get openWriteBrackets(): number {
    return this.slot[this.slotBase + Slot.writers] ?? 0
  }

  /** B1 of the protocol: the bracket is visible to the exporter before anything else is looked at. */
  raise(writes: boolean): void {
    if (writes && this.beforeWrite !== undefined) this.beforeWrite()
    const { slot, slotBase: base } = this
    if (Atomics.add(slot, base, 1) >= limits.maxOpenBrackets) {
      Atomics.sub(slot, base, 1)
      throw problem('tooManyBrackets', { name: this.name, count: limits.maxOpenBrackets })
    }
    // Only its own writer and, after that one's death, the exporter look at this word: no order is needed.
    if (writes && slot[base + Slot.writers]!++ === 0) this.#turnSequence()
  }

  /** E1: everything written inside the bracket is visible before the bracket is seen to end. */
  lower(writes: boolean): void {
    const { slot, slotBase: base } = this
    if (writes && --slot[base + Slot.writers]! === 0) this.#turnSequence()
    Atomics.sub(slot, base, 1)
  }

  /** Odd from the first write bracket to the end of the last one, however many overlap. */
  #turnSequence(): void {
    if (this.role === 'exporter' && this.shared !== undefined) {
      Atomics.add(this.shared.words, this.shared.base + StateRecord.writeSequence, 1)
    } else Atomics.add(this.slot, this.slotBase + Slot.writeSequence, 1)
  }

  /** Gives the brackets another place to be counted in; those that are open are taken along. */
  moveSlot(words: Uint32Array, base: number): void {
    for (let word = 0; word < SLOT_WORDS; word++) words[base + word] = this.slot[this.slotBase + word] ?? 0
    this.slot = words
    this.slotBase = base
  }

  /** Whether a writer died inside its bracket since the last time this was asked. */
  takeInterrupted(): boolean {
    const { shared } = this
    if (shared === undefined) return false
    let broken = Atomics.load(shared.words, shared.base + StateRecord.broken)
    // A dead exporter cannot count itself: its own sequence word has stayed odd.
    if (!shared.exporterAlive)
      broken += Atomics.load(shared.words, shared.base + StateRecord.writeSequence) & 1
    if (broken === this.#brokenSeen) return false
    this.#brokenSeen = broken
    return true
  }

  /** From now on breaks count: those before this environment had the buffer are not its business. */
  forgetInterrupted(): void {
    this.takeInterrupted()
  }

  get isRevoked(): boolean {
    if (this.revoked) return true
    const { shared } = this
    if (shared === undefined) return false
    return (Atomics.load(shared.words, shared.base + StateRecord.flags) & RecordFlag.revoked) !== 0
  }

  /**
   * The sequence words of everybody who can write, or `undefined` when some are out of reach: many may write
   * memory that is shared as writable, and a plain peer (or whoever got the descriptor) has no sequence word at all.
   * Empty for memory that nobody can write.
   */
  get writerSequences(): SequenceWord[] | undefined {
    const { shared } = this
    if (this.storage.kind === 'memfd' && !this.storage.writable && this.frozen) return []
    // Memory that was not allocated here had a life before, and may have writers from then.
    if (this.role === 'exporter' && this.storage.charged === 0) return undefined
    if (shared === undefined) {
      const own = { words: this.slot, index: this.slotBase + Slot.writeSequence }
      const alone = this.storage.sharing === 'read-only' || !this.exposed
      return this.role === 'exporter' && alone ? [own] : undefined
    }
    if (this.storage.sharing !== 'read-only') return undefined
    return [{ words: shared.words, index: shared.base + StateRecord.writeSequence }]
  }
}
