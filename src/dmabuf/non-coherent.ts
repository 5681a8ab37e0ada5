import type { DmaDirection } from '../dma/constraints.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { problem, systemError } from '../internal/errors.ts'
import { CpuCache } from '../memory/cache/cpu-cache.ts'
import {
  CACHE_MAGIC,
  CacheHeader,
  type CacheLayout,
  cacheLayout,
  cacheMemory,
  HEADER_BYTES,
  isLineSize,
} from '../memory/cache/layout.ts'
import { PlainLines } from '../memory/cache/lines.ts'
import type { CacheHints } from '../memory/cache/maintenance.ts'
import type { Schedule } from '../memory/cache/schedule.ts'
import { CopiedBytes } from '../memory/copied-bytes.ts'
import { allowsExternal } from '../memory/external.ts'
import { inspect } from '../memory/facts.ts'
import { NativeLines } from '../memory/native-lines.ts'
import { wordsOf } from '../memory/segment.ts'
import { MapKind, type Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { Access } from './access.ts'
import type { BracketOwner, Coherence } from './coherence.ts'
import { Staging } from './staging.ts'
import type { Storage } from './storage.ts'
import { pagesOf } from './views.ts'

interface NonCoherentBuffer {
  readonly id: number
  readonly name: string
  readonly storage: Storage
  readonly mappings: { readonly pastGuard: Mapping }
}

interface Open {
  readonly file: Mapping
  /** The header once more. */
  readonly head: Mapping
  readonly cache: CpuCache
  readonly layout: CacheLayout
}

/**
 * A buffer whose devices do not see the caches of the CPUs. Its file holds the cache, which is what all views map, and behind
 * it what devices see, so that every process that has the file takes part in one and the same cache.
 */
export class NonCoherent implements Coherence {
  readonly coherency = 'non-coherent'
  readonly #buffer: NonCoherentBuffer
  /** Between the views and the cache, where no ArrayBuffer may lie over that. */
  readonly #staging: Staging | undefined
  #open: Open | undefined
  #schedule: Schedule | undefined

  constructor(buffer: NonCoherentBuffer) {
    this.#buffer = buffer
    if (!allowsExternal()) this.#staging = new Staging(buffer, 'coherent')
  }

  get zeroCopy(): boolean {
    return this.#staging === undefined
  }

  get fileBytes(): number {
    return this.#opened.layout.total
  }

  /** In place of the one that the buffer's seed makes, in this environment. */
  set schedule(schedule: Schedule) {
    this.#schedule = schedule
    if (this.#open !== undefined) this.#open.cache.schedule = schedule
  }

  begin(access: Access, offset: number, length: number, hints: CacheHints, owner: BracketOwner): void {
    this.#cache.begin(access, offset, length, hints)
    this.#staging?.begin(access, offset, length, hints, owner)
  }

  end(access: Access, offset: number, length: number, hints: CacheHints, owner: BracketOwner): void {
    this.#staging?.end(access, offset, length, hints, owner)
    this.#cache.end(access, offset, length, hints)
  }

  /** A bracket that nobody ended is a forgotten one: what was stored in it stays in the cache. */
  abandon(owner: BracketOwner): void {
    this.#staging?.abandon(owner)
  }

  show(offset: number, length: number): Uint8Array | undefined {
    return this.#staging?.show(offset, length)
  }

  hide(offset: number, length: number): void {
    this.#staging?.hide(offset, length)
  }

  refresh(): void {
    this.#staging?.refresh()
  }

  get copyOut(): Coherence['copyOut'] {
    return this.#staging?.copyOut.bind(this.#staging)
  }

  mapped(direction: DmaDirection, coherent: boolean, hints: CacheHints): void {
    this.#cache.map(direction, coherent, hints)
  }

  unmapped(direction: DmaDirection, coherent: boolean, hints: CacheHints): void {
    this.#cache.unmap(direction, coherent, hints)
  }

  device(
    kind: 'read' | 'write',
    coherent: boolean,
    offset: number,
    length: number,
    use: (bytes: Uint8Array) => void,
  ): void {
    this.#cache.device(kind, coherent, offset, length, use)
  }

  tick(): void {
    this.#cache.tick()
  }

  storageChanged(): void {
    this.#close()
  }

  unmap(): void {
    this.#staging?.unmap()
    this.#close()
  }

  #close(): void {
    this.#open?.file.close()
    this.#open?.head.close()
    this.#open = undefined
  }

  get #cache(): CpuCache {
    const { cache } = this.#opened
    cache.observe = diagnostics.cacheLines.hasSubscribers ? this.#publish : undefined
    return cache
  }

  readonly #publish: NonNullable<CpuCache['observe']> = (event) => {
    const { id, name } = this.#buffer
    diagnostics.cacheLines.publish({ id, name, ...event })
  }

  get #opened(): Open {
    this.#open ??= this.#map()
    return this.#open
  }

  /** Another process may have made the file: everything that it says of itself is checked. */
  #map(): Open {
    const { storage, name } = this.#buffer
    const native = addon()
    const facts = inspect(storage.fd)
    const size = typeof facts === 'number' ? 0 : facts.size
    const { byteLength } = storage
    const least = cacheLayout(byteLength, native.pageSize, native.pageSize)
    if (storage.offset !== 0 || size < least.header + HEADER_BYTES) throw problem('notACache', { name })
    const mapped = (offset: number, bytes: number): Mapping => {
      const mapping = native.map(storage.fd, offset, bytes, MapKind.shared)
      if (typeof mapping === 'number') throw systemError(mapping, 'mmap', `mapping buffer ${name}`)
      return mapping
    }
    // Of its own: the words of a file this large may have to be had one by one.
    const head = mapped(least.header, HEADER_BYTES)
    let file: Mapping | undefined
    try {
      const header = wordsOf(head)
      const lineSize = header.get(CacheHeader.lineSize)
      if (header.get(CacheHeader.magic) !== CACHE_MAGIC || !isLineSize(lineSize))
        throw problem('notACache', { name })
      const layout = cacheLayout(byteLength, lineSize, native.pageSize)
      if (size < layout.total) throw problem('notACache', { name })
      file = mapped(0, size)
      const cache = new CpuCache({ layout, header }, linesOf(layout, file, name))
      if (this.#schedule !== undefined) cache.schedule = this.#schedule
      return { file, head, cache, layout }
    } catch (error) {
      head.close()
      file?.close()
      throw error
    }
  }
}

function linesOf(layout: CacheLayout, file: Mapping, name: string): NativeLines {
  const bytes = allowsExternal()
    ? new PlainLines(cacheMemory(pagesOf(file, name).buffer as ArrayBuffer, layout))
    : new CopiedBytes(layout, file, name)
  return new NativeLines(layout, file, name, bytes)
}
