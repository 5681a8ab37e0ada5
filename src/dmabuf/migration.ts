import type { Pages } from '../dma/page-source.ts'
import { aborted } from '../internal/abort.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { checked, errno, problem } from '../internal/errors.ts'
import { runStranger } from '../internal/stranger.ts'
import { allowsExternal } from '../memory/external.ts'
import {
  createMovedStorage,
  dropMovedStorage,
  fillMovedStorage,
  type MovedStorage,
  populateMovedStorage,
  prepareMovedStorage,
} from '../memory/moved-storage.ts'
import type { Sharing } from '../memory/seals.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { DeviceDescription } from './attachment-host.ts'
import type { BufferCore } from './buffer-core.ts'
import { mapStorage } from './map-storage.ts'
import type { MoveAudience } from './move-audience.ts'
import type { Storage } from './storage.ts'
import { pagesOf } from './views.ts'

/** The placement of the buffer, as its moves know it. */
export interface MigrationOwner {
  readonly core: BufferCore
  readonly policy: { readonly moveTimeout: number; readonly evict: boolean; readonly prepareMove: boolean }
  readonly attachments: Iterable<{ readonly device: DeviceDescription }>
  /** Attachments that hold the buffer in its place. */
  readonly holding: readonly { readonly deviceName: string }[]
  /** M0: resolves when there is none. */
  unheld(stop: AbortSignal): Promise<void>
}

/** What the moves of a buffer have cost so far. */
export interface MoveCosts {
  readonly moves: number
  readonly bytesMoved: number
  /** Time in which no bracket could be entered. */
  readonly milliseconds: number
}

/** What ends the waiting of a move. */
type Stop = 'too long' | 'withdrawn'

/**
 * Moves a buffer's contents to other storage while other processes use it: steps M0 to M8 of docs/protocol.md, "Move". The
 * numbers in the comments are those of the steps, whose order is what a model in test/model proves right.
 */
export class Migration {
  readonly #placement: MigrationOwner
  #moving = false
  #lastGeneration = 0
  #ownEnded: (() => void) | undefined
  #spare: MovedStorage | undefined
  #moves = 0
  #bytes = 0
  #milliseconds = 0

  constructor(placement: MigrationOwner) {
    this.#placement = placement
  }

  /** No bracket may be entered in this environment. */
  get moving(): boolean {
    return this.#moving
  }

  get costs(): MoveCosts {
    return { moves: this.#moves, bytesMoved: this.#bytes, milliseconds: this.#milliseconds }
  }

  /** Makes storage for the next move, so that this one costs no more than a copy. */
  prepare(): void {
    const { core, policy } = this.#placement
    if (!policy.prepareMove || this.#spare !== undefined || core.destroyed || core.entry === undefined) return
    // Of those more than the buffer moves: what is mapped for its views is not all.
    if (core.storage.coherency === 'non-coherent') return
    const { byteLength } = core.storage
    try {
      this.#spare = prepareMovedStorage(core.name, byteLength, sharingOf(core.storage))
    } catch {
      // A lack of memory is the move's to tell, if it is still there by then.
    }
  }

  /** Nothing moves any more. */
  end(): void {
    if (this.#spare !== undefined) dropMovedStorage(this.#spare)
    this.#spare = undefined
  }

  /** The last bracket of this environment may have ended. */
  ownBracketEnded(): void {
    if (this.#placement.core.openBrackets === 0) this.#ownEnded?.()
  }

  /** Waits for whoever holds the buffer in its place, takes new pages, moves. Leaves everything as it was on any error. */
  async move(choose: () => Promise<Pages>, signal: AbortSignal | undefined): Promise<Pages> {
    const { core, policy } = this.#placement
    const stop = new AbortController()
    const tooLong = setTimeout(() => stop.abort('too long' satisfies Stop), policy.moveTimeout)
    const withdraw = () => stop.abort('withdrawn' satisfies Stop)
    signal?.addEventListener('abort', withdraw, { once: true })
    try {
      if (signal?.aborted) throw aborted(signal, 'map')
      // M0. The old pages stay taken meanwhile: nobody else may get them before the contents have left them.
      await this.#placement.unheld(stop.signal)
      const pages = await choose()
      try {
        await this.#toNewStorage(stop.signal)
      } catch (error) {
        pages.free()
        throw error
      }
      return pages
    } catch (error) {
      if (error === 'withdrawn' && signal !== undefined) throw aborted(signal, 'map')
      if (error !== 'too long') throw error
      const { name } = core
      throw problem('moveTimeout', { name, milliseconds: policy.moveTimeout, who: this.#whoIsLate() })
    } finally {
      clearTimeout(tooLong)
      signal?.removeEventListener('abort', withdraw)
    }
  }

  async #toNewStorage(stop: AbortSignal): Promise<void> {
    const { core, policy } = this.#placement
    const { name, storage: old } = core
    const audience = core.shared?.audience
    const from = core.generation
    // A number that was offered once is never used for anything else.
    this.#lastGeneration = Math.max(this.#lastGeneration, from) + 1
    const generation = this.#lastGeneration
    // M1
    const bytes = core.coherence?.fileBytes ?? old.byteLength
    const moved = this.#spare ?? createMovedStorage(name, bytes, sharingOf(old))
    this.#spare = undefined
    core.inMove = true
    const storage: Storage = { ...old, fd: moved.fd, offset: 0, charged: moved.charged }
    try {
      // M2
      if (audience !== undefined) await this.#offer(audience, storage, generation, stop)
      const since = performance.now()
      // M3
      this.#moving = true
      audience?.begin()
      // M4
      await this.#quiet(audience, stop)
      // M5
      await this.#copy(moved)
      // M6: from here on it is done.
      core.shared?.audience?.commit(storage, generation)
      core.swapStorage(storage, moved.mapping)
      core.generation = generation
      // M7
      this.#end(generation)
      this.#count(since, from, generation)
    } catch (error) {
      if (core.generation !== generation) {
        this.#end(from)
        dropMovedStorage(moved)
      }
      throw error
    }
    // M8
    // An importer's callback that throws is its own business, not the mapper's.
    for (const { device } of this.#placement.attachments) runStranger(() => device.moveNotify?.())
    if (policy.prepareMove) setImmediate(() => this.prepare())
  }

  /** Whoever was offered the storage, or registered meanwhile, hears of it; a buffer may have left in mid-move, too. */
  #end(generation: number): void {
    const { core } = this.#placement
    this.#moving = false
    core.inMove = false
    core.shared?.audience?.end(generation)
  }

  async #offer(
    audience: MoveAudience,
    storage: Storage,
    generation: number,
    stop: AbortSignal,
  ): Promise<void> {
    try {
      await orStopped(audience.offer(storage, generation), stop)
    } catch (error) {
      // A holder that does not read what it is sent.
      if (error !== 'too long' || !this.#placement.policy.evict) throw error
      audience.evict()
    }
  }

  /** Nobody is inside a bracket: here, and in every process that has the buffer. */
  async #quiet(audience: MoveAudience | undefined, stop: AbortSignal): Promise<void> {
    const { core, policy } = this.#placement
    try {
      if (core.openBrackets > 0) {
        await orStopped(new Promise<void>((resolve) => (this.#ownEnded = resolve)), stop)
      }
      await audience?.quiet(stop)
    } catch (error) {
      // Whoever is inside in this process cannot be left behind: its views are the ones that would move.
      if (error !== 'too long' || !policy.evict || core.openBrackets > 0 || audience === undefined)
        throw error
      audience.evict()
    } finally {
      this.#ownEnded = undefined
    }
  }

  async #copy(moved: MovedStorage): Promise<void> {
    const { core } = this.#placement
    const { ops } = core
    const { mappings } = core
    const bytes = core.coherence?.fileBytes ?? core.storage.byteLength
    const present = mappings.guard === undefined ? mappings.present : mappings.pastGuard
    const mapped = present?.byteLength === bytes ? present : undefined
    const from = mapped ?? mapStorage(core.storage, 0, bytes, core.name)
    try {
      if (ops?.move === undefined) fillMovedStorage(from, moved, core.name)
      else await this.#moveByExporter(from, moved, (source, target) => ops.move?.(source, target))
    } finally {
      if (mapped === undefined) from.close()
    }
  }

  /** The exporter's own way; it sees memory of its own mappings, which end with it. */
  async #moveByExporter(
    from: Mapping,
    moved: MovedStorage,
    move: (from: Uint8Array, to: Uint8Array) => void | Promise<void>,
  ): Promise<void> {
    const { storage, name } = this.#placement.core
    const target = { ...storage, fd: moved.fd, offset: 0 }
    const source = from.duplicate(0, storage.byteLength)
    if (typeof source === 'number')
      throw problem('system', { what: `mapping buffer ${name}` }, { result: source, syscall: 'mremap' })
    try {
      const copy =
        moved.mapping?.duplicate(0, storage.byteLength) ?? mapStorage(target, 0, storage.byteLength, name)
      if (typeof copy === 'number')
        throw problem('system', { what: `mapping buffer ${name}` }, { result: copy, syscall: 'mremap' })
      try {
        // A lack of memory is an error here, and not a SIGBUS in the exporter's code.
        populateMovedStorage(moved, storage.byteLength)
        await moveBetween(source, copy, name, move)
      } finally {
        copy.close()
      }
    } finally {
      source.close()
    }
  }

  #count(since: number, from: number, to: number): void {
    const { id, name, storage } = this.#placement.core
    const milliseconds = performance.now() - since
    this.#moves++
    this.#bytes += storage.byteLength
    this.#milliseconds += milliseconds
    if (diagnostics.bufferMoved.hasSubscribers) {
      diagnostics.bufferMoved.publish({ id, name, from, to, byteLength: storage.byteLength, milliseconds })
    }
  }

  #whoIsLate(): string {
    const { core, holding } = this.#placement
    if (holding.length > 0)
      return `${holding.map(({ deviceName }) => deviceName).join(', ')} has it mapped or pinned`
    if (core.openBrackets > 0) return 'a CPU access of this process is open'
    const inside = core.shared?.holders().filter(({ openBrackets }) => openBrackets > 0) ?? []
    if (inside.length === 0) return 'a holder does not read its messages'
    return `a CPU access of process ${inside.map(({ pid }) => pid).join(', ')} is open`
  }
}

function sharingOf({ sharing, undecided }: Storage): Sharing | 'undecided' {
  return undecided === true ? 'undecided' : sharing
}

/** Shows both to the exporter: where no ArrayBuffer may lie over them, copies of them. */
async function moveBetween(
  from: Mapping,
  to: Mapping,
  name: string,
  move: (from: Uint8Array, to: Uint8Array) => void | Promise<void>,
): Promise<void> {
  if (allowsExternal()) return move(pagesOf(from, name), pagesOf(to, name))
  const input = new Uint8Array(from.byteLength)
  const output = new Uint8Array(to.byteLength)
  copied(addon().copyOut(from, 0, input, []))
  await move(input, output)
  copied(addon().copyIn(to, 0, output))

  function copied(result: number): void {
    if (result === -errno.EFAULT) throw problem('truncated', { name })
    checked(result, 'copy', `moving buffer ${name}`)
  }
}

/** What `stop` is aborted with, or what the promise comes to. */
function orStopped<T>(promise: Promise<T>, stop: AbortSignal): Promise<T> {
  if (stop.aborted) return Promise.reject(stop.reason)
  return new Promise<T>((resolve, reject) => {
    const halt = () => reject(stop.reason)
    stop.addEventListener('abort', halt, { once: true })
    promise.then(resolve, reject).finally(() => stop.removeEventListener('abort', halt))
  })
}
