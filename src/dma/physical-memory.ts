import { problem } from '../internal/errors.ts'
import { seededRandom } from '../internal/random.ts'
import { integer, oneOf, options, shown } from '../internal/validate.ts'
import { PAGE_SIZE, roundDown } from './address.ts'
import { type DmaConstraints, type Segment, unconstrained } from './constraints.ts'
import { constraintsOf } from './device.ts'
import { takePages } from './page-allocation.ts'
import { bytesOf, giveBack } from './page-gathering.ts'
import type { FrameRun } from './shattering.ts'
import { Zone } from './zone.ts'

export interface PhysicalMemoryOptions {
  /** Bytes of memory, whole pages; 1 TiB. They are labels, and cost nothing until they are allocated. */
  readonly byteLength?: number
  /**
   * Bytes of the contiguous area, whole pages, at the upper end of what 32 bits reach; 256 MiB, but at most a quarter
   * of that memory. 0 is a kernel without one.
   */
  readonly contiguous?: number
  /** Decides in which order free pages are taken: an integer from 0 to 2^32 - 1. The same seed gives the same addresses. */
  readonly seed?: number
}

export interface PhysicalAllocateOptions {
  /** What the memory must suit; what is left out is not asked for. */
  readonly constraints?: Partial<DmaConstraints>
  /**
   * `'scattered'` (default): chunks of 1 MiB, 64 KiB and 4 KiB, the largest first, as the kernel's system heap takes them
   * (drivers/dma-buf/heaps/system_heap.c), in general not next to each other; larger ones only where the
   * constraints want them. `'contiguous'`: one run, from the contiguous area when there is a place.
   */
  readonly layout?: 'scattered' | 'contiguous'
}

export type ZoneName = 'dma' | 'dma32' | 'normal'

export interface FragmentOptions {
  /** Bytes that a free run may have afterwards, at least a page. Rounded down to a power of two. */
  readonly longest: number
  /** Where; everywhere when left out, the contiguous area included. */
  readonly zone?: ZoneName | 'contiguous'
}

/** Bytes, and addresses of bytes. `total = free + allocated + held`. */
export interface AreaStats {
  /** First address, and the one after the last. */
  readonly start: number
  readonly end: number
  readonly total: number
  readonly free: number
  /** Kept back by {@link PhysicalMemory.fragment}. */
  readonly held: number
  /** The longest run of free pages. */
  readonly largestFree: number
}

export interface ZoneStats extends AreaStats {
  readonly name: ZoneName
  /** How many free blocks of each order (4096 bytes times 2^order), as /proc/buddyinfo has them. */
  readonly freeBlocks: readonly number[]
}

export interface PhysicalMemoryStats {
  readonly byteLength: number
  /** From the lowest addresses up. A zone that the memory does not reach has no bytes. */
  readonly zones: readonly ZoneStats[]
  readonly contiguous: AreaStats
  /** Allocations that are not freed yet, and their bytes. */
  readonly allocations: number
  readonly allocated: number
}

/** The first address above each zone: include/linux/mmzone.h, `ZONE_DMA` and `ZONE_DMA32` of x86. */
const zoneEnds = { dma: 2 ** 24, dma32: 2 ** 32, normal: 2 ** 52 } as const
const defaultContiguous = 256 * 2 ** 20
const constraintNames = [
  ...(['dmaMask', 'minSegmentSize', 'maxSegmentSize', 'segmentBoundaryMask', 'maxSegments'] as const),
]

/**
 * Simulated physical memory: addresses that are given out as the kernel gives out page frames, without bytes behind them.
 * Three zones, with a buddy allocator each (mm/page_alloc.c), and a contiguous area (mm/cma.c), which is for runs only. The
 * page at address 0 is never given out.
 */
export class PhysicalMemory {
  readonly byteLength: number
  readonly #zones: readonly Zone<ZoneName>[]
  readonly #area: Zone<'contiguous'>
  #allocations = 0
  #allocatedFrames = 0

  /** Errors: `EINVAL`. */
  constructor(memoryOptions?: PhysicalMemoryOptions) {
    const opts = options('PhysicalMemory', memoryOptions, ['byteLength', 'contiguous', 'seed'])
    this.byteLength = pages('byteLength', opts.byteLength ?? 2 ** 40, 2 * PAGE_SIZE, 2 ** 52)
    const reach = Math.min(this.byteLength, zoneEnds.dma32)
    const contiguous = Math.min(defaultContiguous, roundDown(reach / 4, PAGE_SIZE))
    const start = reach - pages('contiguous', opts.contiguous ?? contiguous, 0, reach - PAGE_SIZE)
    const random = seededRandom(integer('seed', opts.seed ?? 0, 0, 2 ** 32 - 1))
    const zone = <Name extends string>(name: Name, from: number, to: number) =>
      new Zone(name, { start: from / PAGE_SIZE, end: to / PAGE_SIZE }, random)
    const end = (limit: number) => Math.min(limit, this.byteLength)
    this.#area = zone('contiguous', start, reach)
    this.#zones = [
      zone('dma', PAGE_SIZE, Math.min(start, zoneEnds.dma)),
      zone('dma32', Math.min(start, zoneEnds.dma), start),
      zone('normal', end(zoneEnds.dma32), end(zoneEnds.normal)),
    ]
  }

  /**
   * Takes pages that hold `byteLength` bytes and suit the constraints: from the highest zone that the `dmaMask` allows, then
   * from the lower ones. The caller frees them. Errors: `ENOMEM` where that cannot be done, with the rule that
   * is in the way; `EINVAL`.
   */
  allocate(byteLength: number, allocateOptions?: PhysicalAllocateOptions): PhysicalPages {
    const opts = options('allocate', allocateOptions, ['constraints', 'layout'])
    const bytes = integer('byteLength', byteLength, 1)
    const frames = Math.ceil(bytes / PAGE_SIZE)
    const layout = oneOf('layout', opts.layout ?? 'scattered', ['scattered', 'contiguous'])
    const constraints = constraintsOf(
      options('constraints', opts.constraints, constraintNames),
      unconstrained,
    )
    const taken = takePages(this.#zones, this.#area, { frames, constraints, layout })
    if ('rule' in taken) {
      const { rule, needed, got } = taken
      throw problem('noPages', { bytes, rule, needed, got }, { refusal: taken })
    }
    this.#allocations++
    this.#allocatedFrames += frames
    return new PhysicalPages(taken, () => this.#free(taken, frames))
  }

  /**
   * Shatters the free memory as long use would, so that no run of free pages is longer than asked for, until the result is
   * disposed. What is allocated stays, and may be freed. Errors: `EBUSY` where memory is fragmented by a call before; `EINVAL`.
   */
  fragment(fragmentOptions: FragmentOptions): Disposable {
    const opts = options('fragment', fragmentOptions, ['longest', 'zone'])
    const longest = integer('longest', opts.longest, PAGE_SIZE, zoneEnds.normal)
    const all = [...this.#zones, this.#area]
    const names = all.map(({ name }) => name)
    const name = opts.zone === undefined ? undefined : oneOf('zone', opts.zone, names)
    const zones = all.filter((zone) => name === undefined || zone.name === name)
    const before = zones.find(({ shattered }) => shattered)
    if (before !== undefined) throw problem('fragmented', { zone: before.name })
    for (const zone of zones) zone.shatter(2 ** Math.floor(Math.log2(longest / PAGE_SIZE)))
    return {
      [Symbol.dispose]() {
        for (const zone of zones.splice(0)) zone.mend()
      },
    }
  }

  stats(): PhysicalMemoryStats {
    return {
      byteLength: this.byteLength,
      zones: this.#zones.map((zone) => {
        return { name: zone.name, ...areaStats(zone), freeBlocks: zone.counts().chunks }
      }),
      contiguous: areaStats(this.#area),
      allocations: this.#allocations,
      allocated: this.#allocatedFrames * PAGE_SIZE,
    }
  }

  #free(runs: readonly FrameRun[], frames: number): void {
    giveBack([...this.#zones, this.#area], runs)
    this.#allocations--
    this.#allocatedFrames -= frames
  }
}

/** Pages of a {@link PhysicalMemory}, taken until they are freed. */
export class PhysicalPages implements Disposable {
  /** Runs of whole pages, in the order in which they make up the memory. Neighbours are not joined. */
  readonly segments: readonly Segment[]
  /** Whole pages, so that it may be more than was asked for. */
  readonly byteLength: number
  #release: (() => void) | undefined

  /** @internal */
  constructor(runs: readonly FrameRun[], release: () => void) {
    this.segments = Object.freeze(runs.map((run) => Object.freeze(bytesOf(run))))
    this.byteLength = this.segments.reduce((sum, { length }) => sum + length, 0)
    this.#release = release
  }

  get freed(): boolean {
    return this.#release === undefined
  }

  /** Gives the pages back. May be called again. */
  free(): void {
    const release = this.#release
    this.#release = undefined
    release?.()
  }

  [Symbol.dispose](): void {
    this.free()
  }
}

let system: PhysicalMemory | undefined

/** The physical memory of this environment (thread): 1 TiB, the contiguous area 256 MiB. */
export function systemMemory(): PhysicalMemory {
  system ??= new PhysicalMemory()
  return system
}

function areaStats(zone: Zone): AreaStats {
  const { free, held } = zone.counts()
  return {
    start: zone.start * PAGE_SIZE,
    end: zone.end * PAGE_SIZE,
    total: zone.frames * PAGE_SIZE,
    free: free * PAGE_SIZE,
    held: held * PAGE_SIZE,
    largestFree: zone.longestRun() * PAGE_SIZE,
  }
}

function pages(what: string, value: unknown, least: number, most: number): number {
  const bytes = integer(what, value, least, most)
  if (bytes % PAGE_SIZE === 0) return bytes
  throw problem('argument', { what, expected: `a multiple of ${PAGE_SIZE}`, received: shown(value) })
}
