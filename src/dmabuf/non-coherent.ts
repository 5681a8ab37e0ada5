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
import type { CacheHints } from '../memory/cache/maintenance.ts'
import type { Schedule } from '../memory/cache/schedule.ts'
import { inspect } from '../memory/facts.ts'
import { NativeLines } from '../memory/native-lines.ts'
import { MapKind, type Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { Access } from './access.ts'
import type { Coherence } from './coherence.ts'
import type { Storage } from './storage.ts'
import { pagesOf } from './views.ts'

interface NonCoherentBuffer {
  readonly id: number
  readonly name: string
  readonly storage: Storage
}

interface Open {
  readonly file: Mapping
  readonly cache: CpuCache
  readonly layout: CacheLayout
}

/**
 * A buffer whose devices do not see the caches of the CPUs. Its file holds the cache, which is what all views map, and behind
 * it what devices see, so that every process that has the file takes part in one and the same cache.
 */
export class NonCoherent implements Coherence {
  readonly coherency = 'non-coherent'
  readonly zeroCopy = true
  readonly staged = undefined
  readonly #buffer: NonCoherentBuffer
  #open: Open | undefined
  #schedule: Schedule | undefined

  constructor(buffer: NonCoherentBuffer) {
    this.#buffer = buffer
  }

  get fileBytes(): number {
    return this.#opened.layout.total
  }

  /** In place of the one that the buffer's seed makes, in this environment. */
  set schedule(schedule: Schedule) {
    this.#schedule = schedule
    if (this.#open !== undefined) this.#open.cache.schedule = schedule
  }

  begin(access: Access, offset: number, length: number, hints: CacheHints): void {
    this.#cache.begin(access, offset, length, hints)
  }

  end(access: Access, offset: number, length: number, hints: CacheHints): void {
    this.#cache.end(access, offset, length, hints)
  }

  /** A bracket that nobody ended is a forgotten one: what was stored in it stays in the cache. */
  abandon(): void {}

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
    this.unmap()
  }

  unmap(): void {
    this.#open?.file.close()
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
    const file = native.map(storage.fd, 0, size, MapKind.shared)
    if (typeof file === 'number') throw systemError(file, 'mmap', `mapping buffer ${name}`)
    try {
      const view = pagesOf(file, name).buffer as ArrayBuffer
      const header = new Uint32Array(view, least.header, HEADER_BYTES / 4)
      const lineSize = header[CacheHeader.lineSize] ?? 0
      if (header[CacheHeader.magic] !== CACHE_MAGIC || !isLineSize(lineSize))
        throw problem('notACache', { name })
      const layout = cacheLayout(byteLength, lineSize, native.pageSize)
      if (size < layout.total) throw problem('notACache', { name })
      const memory = cacheMemory(view, layout)
      const cache = new CpuCache(memory, new NativeLines(memory, file, name))
      if (this.#schedule !== undefined) cache.schedule = this.#schedule
      return { file, cache, layout }
    } catch (error) {
      file.close()
      throw error
    }
  }
}
