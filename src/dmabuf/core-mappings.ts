import { problem, systemError } from '../internal/errors.ts'
import { allowsExternal } from '../memory/external.ts'
import { BufferGuard, type GuardedBuffer } from '../memory/guard/buffer-guard.ts'
import { guardPolicy } from '../memory/guard/guard-policy.ts'
import type { GuardMode } from '../memory/guard/violation.ts'
import type { Mapping } from '../native/addon.ts'
import { checkView, mapStorage } from './map-storage.ts'
import type { Storage } from './storage.ts'

/** The buffer whose storage is mapped. */
interface Mapped extends GuardedBuffer {
  readonly storage: Storage
  readonly coherence?: { hide(offset: number, length: number): void } | undefined
}

/** The mappings of one inner buffer: the whole of it, and ranges. Views exist only over these. */
export class CoreMappings {
  readonly #core: Mapped
  #whole: Mapping | undefined
  /** Where each begins in the buffer. */
  #ranges: Map<Mapping, number> | undefined
  /** The whole once more, for devices: brackets do not bind them. */
  #past: Mapping | undefined
  #guard: BufferGuard | undefined

  constructor(core: Mapped, whole: Mapping | undefined) {
    this.#core = core
    this.#whole = whole
    const { mode } = guardPolicy()
    if (mode !== 'off') this.guardBy(mode, 0)
  }

  /** In guarded mode: whoever begins and ends brackets tells it. */
  get guard(): BufferGuard | undefined {
    return this.#guard
  }

  /** Turns guarded mode on or off, or changes what becomes of violations; so many brackets are open now. */
  guardBy(mode: GuardMode | 'off', openBrackets: number): void {
    if (mode === 'off') {
      this.#guard?.off()
      this.#guard = undefined
      this.#closePast()
    } else if (this.#guard !== undefined) this.#guard.mode = mode
    else {
      this.#guard = new BufferGuard(this.#core, mode, openBrackets)
      if (this.#whole !== undefined) this.#guard.cover(this.#whole, 0)
      for (const [range, offset] of this.#ranges ?? []) this.#guard.cover(range, offset)
    }
  }

  /** The whole for accesses that are not those of the CPU's brackets: of devices, of a move. */
  get pastGuard(): Mapping {
    if (this.#guard === undefined) return this.whole
    this.#past ??= this.#map(0, this.#core.storage.byteLength)
    return this.#past
  }

  /** The mapping of the whole, if there is one. */
  get present(): Mapping | undefined {
    return this.#whole
  }

  get whole(): Mapping {
    if (this.#whole !== undefined) return this.#whole
    const { storage, name } = this.#core
    // What no ArrayBuffer shows is copied from, in parts.
    if (allowsExternal()) checkView(storage.byteLength)
    this.#whole = mapStorage(storage, 0, storage.byteLength, name)
    this.#guard?.cover(this.#whole, 0)
    return this.#whole
  }

  get faulted(): boolean {
    if (this.#whole?.faulted === true) return true
    return this.#ranges !== undefined && [...this.#ranges.keys()].some((range) => range.faulted)
  }

  /** A mapping of its own for a range; closed with the last wrapper at the latest. */
  addRange(offset: number, length: number): Mapping {
    checkView(length)
    const mapping = this.#map(offset, length)
    this.#ranges ??= new Map()
    this.#ranges.set(mapping, offset)
    this.#guard?.cover(mapping, offset)
    return mapping
  }

  /** Whether a range is still mapped: freeze() and revoke() take it away from under its owner. */
  hasRange(mapping: Mapping): boolean {
    return this.#ranges?.has(mapping) === true
  }

  closeRange(mapping: Mapping): void {
    const offset = this.#ranges?.get(mapping)
    if (offset !== undefined) this.#core.coherence?.hide(offset, mapping.byteLength)
    this.#ranges?.delete(mapping)
    this.#close(mapping)
  }

  closeRanges(): void {
    if (this.#ranges === undefined) return
    for (const range of this.#ranges.keys()) this.#close(range)
    this.#ranges = undefined
  }

  /** Detaches every view, then gives the addresses up. */
  close(): void {
    this.closeRanges()
    this.#closePast()
    if (this.#whole !== undefined) this.#close(this.#whole)
    this.#whole = undefined
  }

  /** Detaches every view; what no seal allows to map again is kept, elsewhere. */
  unmap(): void {
    if (this.#unrepeatable) this.relocate()
    else this.close()
  }

  /** Detaches every view but keeps the pages mapped, at other addresses, for the next use. */
  relocate(): void {
    this.closeRanges()
    this.#closePast()
    if (this.#whole === undefined || this.#whole.relocate() === 0) return
    this.#close(this.#whole)
    this.#whole = undefined
  }

  refresh(): void {
    this.#whole?.refresh()
    for (const range of this.#ranges?.keys() ?? []) range.refresh()
  }

  /** All views go; `whole` is the mapping of other storage. */
  replace(whole: Mapping | undefined): void {
    this.close()
    this.#whole = whole
    if (whole !== undefined) this.#guard?.cover(whole, 0)
  }

  /**
   * The buffer has other storage: every mapping shows it from now on, at the addresses where it was, so that the views
   * which JavaScript holds stay valid. Never fails: a mapping that cannot be exchanged is closed, and its view detached.
   */
  swap(whole: Mapping | undefined): void {
    const old = this.#whole
    this.#whole = whole
    this.#closePast()
    if (old !== undefined) this.#whole = this.#exchange(old, () => whole ?? this.#mapWhole())
    if (this.#whole !== old && this.#whole !== undefined) this.#guard?.cover(this.#whole, 0)
    for (const [range, offset] of this.#ranges ?? []) {
      const kept = this.#exchange(range, () => this.#map(offset, range.byteLength))
      if (kept !== range) {
        this.#ranges?.delete(range)
        kept?.close()
      }
    }
  }

  /** The old mapping with the pages of a new one; or the new one, when the old cannot be kept. */
  #exchange(old: Mapping, make: () => Mapping): Mapping | undefined {
    let prepared: Mapping
    try {
      prepared = make()
    } catch {
      this.#close(old)
      return undefined
    }
    if (old.takeOver(prepared) === 0) return old
    // Its memory was transferred away with its ArrayBuffer: that one goes on showing the old storage.
    this.#close(old)
    return prepared
  }

  #close(mapping: Mapping): void {
    this.#guard?.uncover(mapping)
    mapping.close()
  }

  #closePast(): void {
    this.#past?.close()
    this.#past = undefined
  }

  #mapWhole(): Mapping {
    const { storage, name } = this.#core
    return mapStorage(storage, 0, storage.byteLength, name)
  }

  #map(offset: number, length: number): Mapping {
    const { storage, name } = this.#core
    if (!this.#unrepeatable) return mapStorage(storage, offset, length, name)
    const mapping = this.whole.duplicate(offset, length)
    if (typeof mapping === 'number') throw systemError(mapping, 'mremap', `mapping buffer ${name}`)
    return mapping
  }

  /** The exporter of read-only memory keeps the one writable mapping that its own seal forbids to make again. */
  get #unrepeatable(): boolean {
    const { storage } = this.#core
    return storage.sharing === 'read-only' && storage.writable && storage.fd >= 0
  }
}

/** For what needs the memory of a placed buffer now. */
export function checkStorage(core: Mapped): void {
  if (core.storage.fd >= 0) return
  throw problem('moving', { name: core.name, why: 'its storage is not allocated yet' })
}
