import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { DmaConstraints } from '../../src/dma/constraints.ts'
import { fitSegments } from '../../src/dma/fit.ts'
import {
  PhysicalMemory,
  type PhysicalMemoryStats,
  type PhysicalPages,
} from '../../src/dma/physical-memory.ts'
import { DmaBufError } from '../../src/internal/errors.ts'

const MiB = 2 ** 20
const PAGE = 4096

interface Request {
  readonly bytes: number
  readonly constraints: Partial<DmaConstraints>
  readonly layout: 'scattered' | 'contiguous'
}

type Step =
  | { readonly do: 'allocate'; readonly request: Request }
  | { readonly do: 'free'; readonly which: number }
  | { readonly do: 'fragment'; readonly longest: number }
  | { readonly do: 'mend' }

/** Which frames somebody has, by their number. */
class Model {
  readonly memory: PhysicalMemory
  readonly pages: PhysicalPages[] = []
  readonly taken = new Set<number>()
  readonly #fresh: PhysicalMemoryStats
  fragmentation: Disposable | undefined

  constructor(memory: PhysicalMemory) {
    this.memory = memory
    this.#fresh = memory.stats()
  }

  add(pages: PhysicalPages): void {
    this.pages.push(pages)
    for (const frame of framesOf(pages)) {
      expect(this.taken.has(frame)).toBe(false)
      expect(frame > 0 && frame < this.memory.byteLength / PAGE).toBe(true)
      this.taken.add(frame)
    }
  }

  free(which: number): void {
    const [pages] = this.pages.splice(which % Math.max(1, this.pages.length), 1)
    if (pages === undefined) return
    for (const frame of framesOf(pages)) this.taken.delete(frame)
    pages.free()
    pages.free()
  }

  /** Free runs of the zones and the area in bytes, below an address. */
  runs(end = this.memory.byteLength): number[] {
    const { zones, contiguous } = this.memory.stats()
    return [...zones, contiguous].flatMap((zone) => {
      const runs: number[] = []
      let run = 0
      for (let at = zone.start; at < zone.end; at += PAGE) {
        if (at + PAGE <= end && !this.taken.has(at / PAGE)) run += PAGE
        else if (run > 0) run = runs.push(run) * 0
      }
      return run > 0 ? [...runs, run] : runs
    })
  }

  check(): void {
    const { zones, contiguous, allocated, allocations } = this.memory.stats()
    const all = [...zones, contiguous]
    const sum = (of: (zone: (typeof all)[number]) => number) => all.reduce((n, zone) => n + of(zone), 0)
    expect(allocations).toBe(this.pages.length)
    expect(allocated).toBe(this.taken.size * PAGE)
    expect(sum(({ total }) => total)).toBe(this.memory.byteLength - PAGE)
    expect(sum(({ free, held }) => free + held) + allocated).toBe(this.memory.byteLength - PAGE)
    for (const zone of zones) {
      const blocks = zone.freeBlocks.reduce((bytes, count, order) => bytes + count * PAGE * 2 ** order, 0)
      expect(blocks).toBe(zone.free)
    }
    if (this.fragmentation === undefined) {
      expect(Math.max(...all.map(({ largestFree }) => largestFree))).toBe(Math.max(0, ...this.runs()))
    }
  }

  finish(): void {
    this.fragmentation?.[Symbol.dispose]()
    this.fragmentation = undefined
    while (this.pages.length > 0) this.free(0)
    expect(this.memory.stats()).toEqual(this.#fresh)
  }
}

function framesOf({ segments }: PhysicalPages): number[] {
  return segments.flatMap(({ address, length }) => {
    expect([address % PAGE, length % PAGE]).toEqual([0, 0])
    return Array.from({ length: length / PAGE }, (_, i) => address / PAGE + i)
  })
}

function expectSuits(pages: PhysicalPages, request: Request): void {
  const constraints = { ...everything, ...request.constraints }
  const pieces = fitSegments(pages.segments, constraints)
  if (!Array.isArray(pieces)) throw new Error(`broken: ${JSON.stringify(pieces)}`)
  expect(pages.byteLength).toBe(Math.ceil(request.bytes / PAGE) * PAGE)
  expect(pieces.reduce((sum, { length }) => sum + length, 0)).toBe(pages.byteLength)
  expect(pieces.length).toBeLessThanOrEqual(constraints.maxSegments)
  for (const [i, { address, length }] of pieces.entries()) {
    expect(BigInt(address + length - 1) <= constraints.dmaMask).toBe(true)
    expect(length).toBeLessThanOrEqual(constraints.maxSegmentSize)
    if (i < pieces.length - 1) expect(length).toBeGreaterThanOrEqual(constraints.minSegmentSize)
    const cell = constraints.segmentBoundaryMask + 1n
    expect(BigInt(address) / cell).toBe(BigInt(address + length - 1) / cell)
  }
  if (request.layout === 'contiguous') {
    const [first] = pages.segments
    expect(pages.segments).toEqual([{ address: first?.address, length: pages.byteLength }])
  }
}

const everything: DmaConstraints = {
  dmaMask: 2n ** 64n - 1n,
  minSegmentSize: 1,
  maxSegmentSize: Number.MAX_SAFE_INTEGER,
  segmentBoundaryMask: 2n ** 64n - 1n,
  maxSegments: Number.MAX_SAFE_INTEGER,
}

const bytes = fc.oneof(
  fc.integer({ min: 1, max: 3 * MiB }),
  fc.integer({ min: 1, max: 40 * MiB }),
  fc.constantFrom(PAGE, 2 * PAGE, 65_536, MiB, 4 * MiB, 8 * MiB),
)
const layout = fc.constantFrom('scattered' as const, 'contiguous' as const)
const power = (least: number, most: number) => fc.integer({ min: least, max: most }).map((n) => 2 ** n)
const dmaMask = fc.oneof(
  power(20, 28).map((end) => BigInt(end) - 1n),
  fc.integer({ min: PAGE - 1, max: 64 * MiB }).map(BigInt),
)
const constraints = fc.record(
  {
    dmaMask,
    minSegmentSize: fc.oneof(power(12, 20), fc.integer({ min: 1, max: 100_000 })),
    maxSegmentSize: fc.oneof(power(20, 26), fc.integer({ min: MiB, max: 8 * MiB })),
    segmentBoundaryMask: power(20, 26).map((cell) => BigInt(cell) - 1n),
    maxSegments: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 200 })),
  },
  { requiredKeys: [] },
)
/** Those whose refusal can be checked by adding up the longest free runs. */
const plainConstraints = fc.record(
  { dmaMask, maxSegments: fc.integer({ min: 1, max: 12 }) },
  { requiredKeys: [] },
)

function steps(of: fc.Arbitrary<Partial<DmaConstraints>>): fc.Arbitrary<Step[]> {
  const request = fc.record({ bytes, constraints: of, layout })
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('allocate' as const), request }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('free' as const), which: fc.nat(100) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('fragment' as const), longest: power(12, 25) }),
    },
    { weight: 1, arbitrary: fc.constant({ do: 'mend' as const }) },
  )
  return fc.array(step, { maxLength: 25 })
}

const memories = fc.record({
  byteLength: fc.constantFrom(64 * MiB, 20 * MiB, 45 * MiB + 3 * PAGE),
  contiguous: fc.constantFrom(0, 8 * MiB, 5 * MiB + PAGE),
  seed: fc.nat(1000),
})

function refusalOf(run: () => void): DmaBufError | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    if (error instanceof DmaBufError) return error
    throw error
  }
}

function run(model: Model, step: Step, refused: (error: DmaBufError, request: Request) => void): void {
  if (step.do === 'free') model.free(step.which)
  if (step.do === 'fragment') model.fragmentation ??= model.memory.fragment({ longest: step.longest })
  if (step.do === 'mend') {
    model.fragmentation?.[Symbol.dispose]()
    model.fragmentation = undefined
  }
  if (step.do === 'allocate') {
    const { bytes: size, ...options } = step.request
    const before = model.memory.stats()
    const error = refusalOf(() => {
      const pages = model.memory.allocate(size, options)
      model.add(pages)
      expectSuits(pages, step.request)
    })
    if (error === undefined) return
    expect(error.code).toBe('ENOMEM')
    expect(error.message).toContain(`needed ${error.needed}, got ${error.got}`)
    expect(model.memory.stats()).toEqual(before)
    refused(error, step.request)
  }
}

const rules = ['contiguous', 'address-range', 'segment-count', 'segment-size', 'boundary', 'size']

test('no page is given twice or lost, and what is given suits the constraints', () => {
  fc.assert(
    fc.property(memories, steps(constraints), (options, list) => {
      const model = new Model(new PhysicalMemory(options))
      for (const step of list) {
        // Constraints that contradict themselves are refused before any memory is looked at.
        if (step.do === 'allocate' && !possible(step.request.constraints)) continue
        run(model, step, ({ rule }) => expect(rules).toContain(rule))
        model.check()
      }
      model.finish()
    }),
    { numRuns: 60 },
  )
})

test('memory is refused only when the free runs that the device reaches do not add up', () => {
  fc.assert(
    fc.property(memories, steps(plainConstraints), (options, list) => {
      const model = new Model(new PhysicalMemory(options))
      for (const step of list) {
        if (step.do === 'fragment') continue
        run(model, step, ({ rule }, request) => {
          const { dmaMask: mask = everything.dmaMask, maxSegments = Number.MAX_SAFE_INTEGER } =
            request.constraints
          const needed = Math.ceil(request.bytes / PAGE) * PAGE
          const most = request.layout === 'contiguous' ? 1 : maxSegments
          const total = (runs: number[]) => runs.reduce((sum, length) => sum + length, 0)
          const reached = model.runs(Number(mask) + 1).sort((a, b) => b - a)
          expect(total(reached.slice(0, most))).toBeLessThan(needed)
          const expected =
            total(model.runs()) < needed
              ? 'size'
              : total(reached) < needed
                ? 'address-range'
                : most === 1
                  ? 'contiguous'
                  : 'segment-count'
          expect(rule).toBe(expected)
        })
        model.check()
      }
      model.finish()
    }),
    { numRuns: 60 },
  )
})

function possible(some: Partial<DmaConstraints>): boolean {
  const { minSegmentSize, maxSegmentSize, segmentBoundaryMask } = { ...everything, ...some }
  const longest = Math.min(maxSegmentSize - (maxSegmentSize % PAGE), Number(segmentBoundaryMask) + 1)
  return minSegmentSize <= longest
}
