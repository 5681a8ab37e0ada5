import type { PageSource } from '../dma/page-source.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { errno, problem, systemError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { boolean } from '../internal/validate.ts'
import { refund } from '../memory/budget.ts'
import { retireStorage } from '../memory/moved-storage.ts'
import { FROZEN_SEALS, isFrozen } from '../memory/seals.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import type { Mapping, SequenceWord } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { AttachmentHost } from './attachment-host.ts'
import type { Coherence } from './coherence.ts'
import { coherenceFor } from './coherence-for.ts'
import { CoreMappings } from './core-mappings.ts'
import type { Entry } from './entry.ts'
import type { ExporterOps } from './exporter-ops.ts'
import { type FenceHost, LocalFences } from './fence-host.ts'
import { givePrivateSlot, privateBase, privateWords, takePrivateSlot } from './private-slots.ts'
import type { SharedState } from './shared-state.ts'
import type { Storage } from './storage.ts'
import { RecordFlag, SLOT_WORDS, Slot, StateRecord } from './words.ts'

// Shared by all buffers, so that making one makes no closures.
const unmap = (core: BufferCore) => core.unmap()
const idle = (core: BufferCore) => core.onIdle(core)
const destroy = (core: BufferCore) => core.destroy()
const nothing = () => {}

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
  readonly mappings: CoreMappings
  storage: Storage
  /** Bracket words: private to this environment until it is given a slot of a holder segment. */
  slot: SharedWords
  slotBase: number
  shared: SharedState | undefined
  /** Counts the storages that the buffer has had; 0 while a placed one has none. */
  generation = 1
  /** Its storage is being exchanged: whoever comes to have the buffer now gets the next one. */
  inMove = false
  revoked = false
  /** Comes again and again (a pool): its pages stay mapped between two uses. */
  recycled = false
  /** The program took the descriptor, and may have passed it on. */
  exposed = false
  destroyed = false
  wrappers = 0
  /** Wrappers, and whatever else needs the storage: a message that waits to be sent, a promise to the peer. */
  references = 0
  /** Brackets that are entered and wait for fences; nobody has them yet. */
  waitingBrackets = 0

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
  /** Where its fences are kept; an exporter has none until the first is asked for. */
  fences: FenceHost | undefined
  /** Where a fixed buffer gets its pages from when the first device attaches; the system's memory when not said. */
  pageSource: PageSource | undefined
  /** What stands between views and storage; nothing for plain shared memory. */
  coherence: Coherence | undefined
  /** Runs before the first write bracket is raised, if there is anything to do. */
  beforeWrite: (() => void) | undefined

  shown: WeakRef<Uint8Array> | undefined

  readonly #privateSlot: number
  #brokenSeen = 0
  #uncounted: number

  constructor(init: CoreInit) {
    this.name = init.name
    this.exporterName = init.exporterName
    this.role = init.role
    this.storage = init.storage
    this.mappings = new CoreMappings(this, init.mapping)
    this.coherence = coherenceFor(this, init.storage.coherency ?? 'coherent')
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
      this.#closeStorage()
      if (this.role === 'exporter' && diagnostics.bufferReleased.hasSubscribers) {
        diagnostics.bufferReleased.publish({ id: this.id, name: this.name })
      }
    }
  }

  // ---- memory ---------------------------------------------------------------------------------------------

  /** The whole buffer, mapped now if it was not. */
  get mapping(): Mapping {
    return this.mappings.whole
  }

  /** Detaches every view, then gives the addresses up. */
  unmap(): void {
    this.coherence?.unmap()
    if (this.destroyed) this.mappings.close()
    else this.mappings.unmap()
  }

  /** Detaches every view, but keeps the pages mapped for the next use. */
  relocate(): void {
    this.coherence?.unmap()
    this.mappings.relocate()
  }

  get frozen(): boolean {
    // What many may write carries F_SEAL_SEAL: it can never be frozen, and need not be asked.
    if (this.storage.sharing === 'writable' || this.storage.kind !== 'memfd' || this.storage.fd < 0)
      return false
    return isFrozen(addon().getSeals(this.storage.fd))
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
    this.coherence?.unmap()
    this.mappings.close()
    // Whatever comes of it: the one mapping that could write is gone.
    this.storage = { ...storage, writable: false }
    const result = addon().addSeals(storage.fd, FROZEN_SEALS)
    // Another mapping is still there: memory transferred away with its ArrayBuffer.
    if (result === -errno.EBUSY) throw refuse('its memory is still mapped for writing in this process')
    if (result < 0) throw systemError(result, 'fcntl', `sealing buffer ${name}`)
  }

  /** New storage under the same buffer; the old one is closed. Only while nobody uses it. */
  replaceStorage(storage: Storage, mapping: Mapping | undefined): void {
    this.#closeStorage()
    this.storage = storage
    this.mappings.replace(mapping)
    this.coherence?.storageChanged()
    this.generation++
  }

  /** New storage with the same contents; views stay valid, at their addresses. Only while no bracket is open. */
  swapStorage(storage: Storage, mapping: Mapping | undefined): void {
    const old = this.storage
    this.storage = storage
    this.mappings.swap(mapping)
    this.coherence?.storageChanged()
    retireStorage(old)
  }

  #closeStorage(): void {
    if (this.storage.fd >= 0) addon().close(this.storage.fd)
    refund(this.storage.charged)
  }

  /** A placed buffer stays where it is from now on; resolves when its storage is there. */
  async fix(): Promise<void> {
    await this.entry?.fix()
  }

  /** V8 counts the bytes of an ArrayBuffer itself; until there is one, they are told to it for the wrapper. */
  countedByView(): void {
    if (this.#uncounted === 0) return
    addon().adjustExternalMemory(-this.#uncounted)
    this.#uncounted = 0
  }

  // ---- fences ---------------------------------------------------------------------------------------------

  /** Where its fences are kept; in the exporter's environment made now, if there was none. */
  fenceHost(): FenceHost {
    this.fences ??= new LocalFences(() => this.showFences())
    return this.fences
  }

  /** Holders look at the word before each bracket. */
  showFences(): void {
    const { shared, fences } = this
    if (shared === undefined || !(fences instanceof LocalFences) || this.destroyed) return
    shared.words.store(shared.base + StateRecord.fences, fences.word)
  }

  // ---- brackets -------------------------------------------------------------------------------------------

  get openBrackets(): number {
    return this.slot.get(this.slotBase + Slot.count)
  }

  /** Those that somebody has: not the ones that wait for fences inside. */
  get begunBrackets(): number {
    return this.openBrackets - this.waitingBrackets
  }

  get openWriteBrackets(): number {
    return this.slot.get(this.slotBase + Slot.writers)
  }

  /** A bracket, if it can be entered at once; the entry says when not. */
  enter(writes: boolean): boolean {
    this.raise(writes)
    const { entry } = this
    if (entry === undefined) return true
    let admitted = false
    try {
      if (entry.lost !== undefined) throw entry.lost
      // B2: one that is inside another excludes moves already, and must not look at the flag.
      admitted = this.openBrackets > 1 || entry.admit()
    } finally {
      if (!admitted) this.lower(writes)
    }
    return admitted
  }

  /** B1 of the protocol: the bracket is visible to the exporter before anything else is looked at. */
  raise(writes: boolean): void {
    if (writes && this.beforeWrite !== undefined) this.beforeWrite()
    const { slot, slotBase: base } = this
    if (slot.add(base, 1) >= limits.maxOpenBrackets) {
      slot.add(base, -1)
      throw problem('tooManyBrackets', { name: this.name, count: limits.maxOpenBrackets })
    }
    // Only its own writer and, after that one's death, the exporter look at this word: no order is needed.
    if (writes && slot.count(base + Slot.writers, 1) === 1) this.#turnSequence()
  }

  /** E1: everything written inside the bracket is visible before the bracket is seen to end. */
  lower(writes: boolean): void {
    const { slot, slotBase: base } = this
    if (writes && slot.count(base + Slot.writers, -1) === 0) this.#turnSequence()
    slot.add(base, -1)
    if (this.entry !== undefined) this.entry.lowered()
  }

  /** Odd from the first write bracket to the end of the last one, however many overlap. */
  #turnSequence(): void {
    if (this.role === 'exporter' && this.shared !== undefined) {
      this.shared.words.add(this.shared.base + StateRecord.writeSequence, 1)
    } else this.slot.add(this.slotBase + Slot.writeSequence, 1)
  }

  /** Gives the brackets another place to be counted in; those that are open are taken along. */
  moveSlot(words: SharedWords, base: number): void {
    for (let word = 0; word < SLOT_WORDS; word++) words.set(base + word, this.slot.get(this.slotBase + word))
    this.slot = words
    this.slotBase = base
  }

  /** Whether a writer died inside its bracket since the last time this was asked. */
  takeInterrupted(): boolean {
    const { shared } = this
    if (shared === undefined) return false
    let broken = shared.words.load(shared.base + StateRecord.broken)
    // A dead exporter cannot count itself: its own sequence word has stayed odd.
    if (!shared.exporterAlive) broken += shared.words.load(shared.base + StateRecord.writeSequence) & 1
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
    return (shared.words.load(shared.base + StateRecord.flags) & RecordFlag.revoked) !== 0
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
      const own = { words: this.slot.source, index: this.slotBase + Slot.writeSequence }
      const alone = this.storage.sharing === 'read-only' || !this.exposed
      return this.role === 'exporter' && alone ? [own] : undefined
    }
    if (this.storage.sharing !== 'read-only') return undefined
    return [{ words: shared.words.source, index: shared.base + StateRecord.writeSequence }]
  }
}
