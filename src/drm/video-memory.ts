import type { DmaConstraints } from '../dma/constraints.ts'
import type { PageSource, Pages } from '../dma/page-source.ts'
import { DmaBufError, problem } from '../internal/errors.ts'
import { Turn } from '../internal/turn.ts'

/** A buffer that may have its pages in video memory. */
export interface Tenant {
  readonly byteLength: number
  /** Nobody has it mapped, pinned or open, and nothing is being done with it: it can leave now. */
  readonly idle: boolean
  /** Moves its contents out, to system memory; rejects when somebody came in between. */
  leave(): Promise<void>
}

/** What has happened in a video memory so far. */
export interface VideoMemoryStats {
  /** Bytes there are, and bytes that buffers have of them. */
  readonly byteLength: number
  readonly used: number
  /** Moves out, to make room or because another device wanted the buffer in system memory. */
  readonly evictions: number
  /** Moves in, of buffers that had been evicted or found no room at first. */
  readonly recalls: number
  /** Bytes copied by both. */
  readonly bytesMoved: number
}

/**
 * The memory of a graphics device, which is limited: who needs room gets it from those that were used least recently, as
 * TTM has it (drivers/gpu/drm/ttm/ttm_bo.c).
 */
export class VideoMemory {
  readonly byteLength: number
  readonly #pages: PageSource
  /** Tenants with pages here, the least recently used first. */
  readonly #residents = new Map<Tenant, number>()
  readonly #turn = new Turn()
  #used = 0
  #evictions = 0
  #recalls = 0
  #bytesMoved = 0

  /** `pages` answers at once, `ENOMEM` where there are none. */
  constructor(byteLength: number, pages: PageSource) {
    this.byteLength = byteLength
    this.#pages = pages
  }

  get stats(): VideoMemoryStats {
    return {
      byteLength: this.byteLength,
      used: this.#used,
      evictions: this.#evictions,
      recalls: this.#recalls,
      bytesMoved: this.#bytesMoved,
    }
  }

  /** Pages here for one buffer: the source that its placement knows. */
  seat(tenant: Tenant): PageSource {
    return { allocate: (byteLength, constraints) => this.#allocate(tenant, byteLength, constraints) }
  }

  has(tenant: Tenant): boolean {
    return this.#residents.has(tenant)
  }

  /** It was used just now: the others go before it. */
  touch(tenant: Tenant): void {
    const pages = this.#residents.get(tenant)
    if (pages === undefined) return
    this.#residents.delete(tenant)
    this.#residents.set(tenant, pages)
  }

  /** The contents of a buffer have come here. */
  movedIn(byteLength: number): void {
    this.#recalls++
    this.#bytesMoved += byteLength
  }

  /** The contents of a buffer have left. */
  movedOut(byteLength: number): void {
    this.#evictions++
    this.#bytesMoved += byteLength
  }

  /** At once where there is room, for callers that cannot wait. */
  allocateNow(tenant: Tenant, byteLength: number, constraints: DmaConstraints): Pages | undefined {
    return this.#turn.busy ? undefined : this.#take(tenant, byteLength, constraints)
  }

  #allocate(tenant: Tenant, byteLength: number, constraints: DmaConstraints): Pages | Promise<Pages> {
    if (byteLength > this.byteLength) throw this.#tooSmall(byteLength)
    return (
      this.allocateNow(tenant, byteLength, constraints) ?? this.#makeRoom(tenant, byteLength, constraints)
    )
  }

  /** One at a time: two that make room at once would take it from each other. */
  #makeRoom(tenant: Tenant, byteLength: number, constraints: DmaConstraints): Promise<Pages> {
    return this.#turn.take(undefined, 'allocate', async () => {
      for (;;) {
        const pages = this.#take(tenant, byteLength, constraints)
        if (pages !== undefined) return pages
        if (!(await this.#evictOne(tenant))) throw this.#tooSmall(byteLength)
      }
    })
  }

  /** Whether one could be made to leave. */
  async #evictOne(except: Tenant): Promise<boolean> {
    for (const tenant of [...this.#residents.keys()]) {
      // Asked anew of each: while one is tried, others come and go.
      if (tenant === except || !this.has(tenant) || !tenant.idle) continue
      try {
        await tenant.leave()
        return true
      } catch (error) {
        // Somebody took it into use at this moment; another one will do as well.
        if (!(error instanceof DmaBufError) || error.code !== 'EBUSY') throw error
      }
    }
    return false
  }

  #take(tenant: Tenant, byteLength: number, constraints: DmaConstraints): Pages | undefined {
    let pages: Pages | Promise<Pages>
    try {
      pages = this.#pages.allocate(byteLength, constraints)
    } catch (error) {
      if (error instanceof DmaBufError && error.code === 'ENOMEM') return undefined
      throw error
    }
    if (pages instanceof Promise) throw new Error('video memory answers at once')
    return this.#lent(tenant, pages)
  }

  /** Counts pages as the tenant's until they are freed; it may have two sets of them while it moves within. */
  #lent(tenant: Tenant, pages: Pages): Pages {
    const bytes = pages.segments.reduce((sum, { length }) => sum + length, 0)
    this.#used += bytes
    this.#residents.set(tenant, (this.#residents.get(tenant) ?? 0) + 1)
    this.touch(tenant)
    let freed = false
    return {
      segments: pages.segments,
      free: () => {
        if (freed) return
        freed = true
        pages.free()
        this.#used -= bytes
        const left = (this.#residents.get(tenant) ?? 1) - 1
        if (left === 0) this.#residents.delete(tenant)
        else this.#residents.set(tenant, left)
      },
    }
  }

  #tooSmall(bytes: number): DmaBufError {
    return problem('videoMemory', { bytes, used: this.#used, limit: this.byteLength })
  }
}
