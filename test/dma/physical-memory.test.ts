import { describe, expect, test } from 'vitest'
import type { Segment } from '../../src/dma/constraints.ts'
import { joined } from '../../src/dma/fit.ts'
import {
  type PhysicalAllocateOptions,
  PhysicalMemory,
  type PhysicalPages,
  systemMemory,
  type ZoneName,
} from '../../src/dma/physical-memory.ts'
import { DmaBufError } from '../../src/internal/errors.ts'
import { codeNow } from '../support/fails.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const PAGE = 4096

function lengthsOf({ segments }: PhysicalPages): number[] {
  return segments.map(({ length }) => length)
}

function addressesOf({ segments }: PhysicalPages): number[] {
  return segments.map(({ address }) => address)
}

function inside(segments: readonly Segment[], start: number, end: number): boolean {
  return segments.every(({ address, length }) => address >= start && address + length <= end)
}

function zoneOf(memory: PhysicalMemory, name: ZoneName) {
  return memory.stats().zones.find((zone) => zone.name === name)!
}

function refusalOf(memory: PhysicalMemory, byteLength: number, options?: PhysicalAllocateOptions) {
  const before = memory.stats()
  try {
    memory.allocate(byteLength, options)
  } catch (error) {
    if (!(error instanceof DmaBufError)) throw error
    expect(error.code).toBe('ENOMEM')
    expect(memory.stats()).toEqual(before)
    return { rule: error.rule, needed: error.needed, got: error.got }
  }
  throw new Error('the memory was given')
}

/** Memory without a free page below `end`. */
function filledUpTo(memory: PhysicalMemory, end: number): void {
  const below = { dmaMask: BigInt(end) - 1n }
  for (const { name, free } of memory.stats().zones) {
    if (zoneOf(memory, name).end <= end) memory.allocate(free, { constraints: below })
  }
}

describe('scattered pages', () => {
  test('come in chunks of 1 MiB, 64 KiB and 4 KiB, the largest first', () => {
    const pages = new PhysicalMemory().allocate(2 * MiB + 3 * 64 * KiB + 2 * PAGE - 100)
    const expected = [MiB, MiB, 64 * KiB, 64 * KiB, 64 * KiB, PAGE, PAGE]
    expect(lengthsOf(pages)).toEqual(expected)
    expect(pages.byteLength).toBe(2 * MiB + 3 * 64 * KiB + 2 * PAGE)
  })

  test('are no neighbours, also in memory that has been used', () => {
    const memory = new PhysicalMemory({ byteLength: GiB })
    for (let i = 0; i < 8; i++) {
      const pages = memory.allocate(33 * MiB + 5 * PAGE)
      const sorted = [...pages.segments].sort((a, b) => a.address - b.address)
      expect(joined(sorted).length).toBe(38)
      if (i % 2 === 0) pages.free()
    }
  })

  test('are neighbours where there is no other memory', () => {
    const memory = new PhysicalMemory({ byteLength: 16 * MiB, contiguous: 0 })
    const { free } = zoneOf(memory, 'dma')
    expect(memory.allocate(free).byteLength).toBe(16 * MiB - PAGE)
    expect(zoneOf(memory, 'dma').free).toBe(0)
  })

  test('become smaller chunks where there are no larger ones, as on a fragmented machine', () => {
    const memory = new PhysicalMemory()
    {
      using _ = memory.fragment({ longest: 64 * KiB })
      expect(new Set(lengthsOf(memory.allocate(8 * MiB)))).toEqual(new Set([64 * KiB]))
    }
    using _ = memory.fragment({ longest: PAGE })
    expect(lengthsOf(memory.allocate(MiB))).toEqual(new Array(256).fill(PAGE))
  })

  test('are of larger blocks where the device wants few or long segments', () => {
    const memory = new PhysicalMemory({ contiguous: 0 })
    const few = memory.allocate(24 * MiB, { constraints: { maxSegments: 6 } })
    expect(lengthsOf(few)).toEqual(new Array(6).fill(4 * MiB))
    const long = memory.allocate(7 * MiB, { constraints: { minSegmentSize: 2 * MiB } })
    expect(lengthsOf(long)).toEqual([4 * MiB, 3 * MiB])
  })

  test('are cut out of free runs where these are too long for a number of whole segments', () => {
    const memory = new PhysicalMemory({ byteLength: 8 * MiB, contiguous: 0 })
    // Each begins at an aligned block of 512 KiB, and what is left of that is taken afterwards.
    const runs = Array.from({ length: 8 }, () => memory.allocate(260 * KiB, { layout: 'contiguous' }))
    memory.allocate(zoneOf(memory, 'dma').free)
    for (const run of runs) run.free()
    expect(zoneOf(memory, 'dma').largestFree).toBe(260 * KiB)
    const constraints = { minSegmentSize: 192 * KiB, maxSegmentSize: 192 * KiB }
    const pages = memory.allocate(4 * 192 * KiB, { constraints })
    expect(lengthsOf(pages)).toEqual(new Array(4).fill(192 * KiB))
  })

  test('spill into the contiguous area when there is nothing else', () => {
    const memory = new PhysicalMemory({ byteLength: 16 * MiB, contiguous: 8 * MiB })
    memory.allocate(12 * MiB)
    expect(memory.stats().contiguous.free + zoneOf(memory, 'dma').free).toBe(4 * MiB - PAGE)
  })
})

describe('zones', () => {
  test('end at 16 MiB, 4 GiB and the end of memory, less the contiguous area and page 0', () => {
    const { zones, contiguous } = new PhysicalMemory({ byteLength: 8 * GiB }).stats()
    expect(zones.map(({ name, start, end }) => [name, start, end])).toEqual([
      ['dma', PAGE, 16 * MiB],
      ['dma32', 16 * MiB, 4 * GiB - 256 * MiB],
      ['normal', 4 * GiB, 8 * GiB],
    ])
    expect([contiguous.start, contiguous.end]).toEqual([4 * GiB - 256 * MiB, 4 * GiB])
  })

  test('are empty where a small memory does not reach them', () => {
    const { zones, contiguous } = new PhysicalMemory({ byteLength: 8 * MiB }).stats()
    expect(zones.map(({ total }) => total)).toEqual([6 * MiB - PAGE, 0, 0])
    expect([contiguous.start, contiguous.end]).toEqual([6 * MiB, 8 * MiB])
  })

  test('are taken from the highest one that the device reaches', () => {
    const memory = new PhysicalMemory()
    const of = (dmaMask: bigint) => memory.allocate(4 * MiB, { constraints: { dmaMask } }).segments
    expect(inside(memory.allocate(4 * MiB).segments, 4 * GiB, 2 ** 40)).toBe(true)
    expect(inside(of(0xffff_ffffn), 16 * MiB, 4 * GiB)).toBe(true)
    expect(inside(of(0x3fff_ffffn), 16 * MiB, GiB)).toBe(true)
    expect(inside(of(0xff_ffffn), PAGE, 16 * MiB)).toBe(true)
    expect(inside(of(2n ** 33n - 1n), 4 * GiB, 8 * GiB)).toBe(true)
  })

  test('are taken in scattered chunks also where the device reaches only a part of a zone', () => {
    const memory = new PhysicalMemory()
    for (let i = 0; i < 40; i++) memory.allocate(9 * MiB, { constraints: { dmaMask: 0xffff_ffffn } })
    const low = memory.allocate(33 * MiB, { constraints: { dmaMask: 0x7ff_ffffn } })
    expect(lengthsOf(low)).toEqual(new Array(33).fill(MiB))
    expect(inside(low.segments, 16 * MiB, 128 * MiB)).toBe(true)
  })

  test('fall back to the lower ones when they are full', () => {
    const memory = new PhysicalMemory({ byteLength: 4 * GiB + 8 * MiB })
    const pages = memory.allocate(12 * MiB)
    expect(zoneOf(memory, 'normal').free).toBe(0)
    expect(inside(pages.segments.slice(8), 16 * MiB, 4 * GiB)).toBe(true)
    memory.allocate(zoneOf(memory, 'dma32').free)
    expect(inside(memory.allocate(MiB).segments, PAGE, 16 * MiB)).toBe(true)
  })
})

describe('contiguous memory', () => {
  test('is one run of the contiguous area, the first place that is aligned to its order', () => {
    const memory = new PhysicalMemory()
    const { start } = memory.stats().contiguous
    const one = memory.allocate(3 * PAGE, { layout: 'contiguous' })
    const two = memory.allocate(24 * MiB, { constraints: { maxSegments: 1 }, layout: 'contiguous' })
    const three = memory.allocate(2 * PAGE, { layout: 'contiguous' })
    expect(one.segments).toEqual([{ address: start, length: 3 * PAGE }])
    expect(two.segments).toEqual([{ address: start + MiB, length: 24 * MiB }])
    expect(three.segments).toEqual([{ address: start + 4 * PAGE, length: 2 * PAGE }])
    one.free()
    expect(addressesOf(memory.allocate(4 * PAGE, { layout: 'contiguous' }))).toEqual([start])
  })

  test('is made of neighbouring blocks when the area is full or out of reach', () => {
    const memory = new PhysicalMemory({ contiguous: 16 * MiB })
    const outside = memory.allocate(24 * MiB, { layout: 'contiguous' })
    expect(lengthsOf(outside)).toEqual([24 * MiB])
    expect(memory.stats().contiguous.free).toBe(16 * MiB)
    const low = memory.allocate(8 * MiB, {
      layout: 'contiguous',
      constraints: { dmaMask: 0xff_ffffn, maxSegments: 1 },
    })
    expect([lengthsOf(low), inside(low.segments, PAGE, 16 * MiB)]).toEqual([[8 * MiB], true])
  })

  test('that fits in a block is taken from the smallest one where the area cannot give it', () => {
    const memory = new PhysicalMemory({ byteLength: 64 * MiB, contiguous: 0 })
    const pages = Array.from({ length: 8 }, () => memory.allocate(3 * PAGE, { layout: 'contiguous' }))
    expect(pages.map(lengthsOf)).toEqual(new Array(8).fill([3 * PAGE]))
    expect(zoneOf(memory, 'dma32').freeBlocks[10]).toBe(11)
  })

  test('is not taken from the area by devices that can do without', () => {
    const memory = new PhysicalMemory()
    memory.allocate(64 * MiB, { constraints: { dmaMask: 0xffff_ffffn } })
    expect(memory.stats().contiguous.free).toBe(256 * MiB)
  })

  test('lies where the device needs no further cut', () => {
    const memory = new PhysicalMemory({ contiguous: 64 * MiB })
    memory.allocate(12 * MiB, { layout: 'contiguous' })
    const constraints = { maxSegments: 1, segmentBoundaryMask: BigInt(16 * MiB) - 1n }
    const { start } = memory.stats().contiguous
    expect(addressesOf(memory.allocate(8 * MiB, { constraints, layout: 'contiguous' }))).toEqual([
      start + 16 * MiB,
    ])
  })

  test('is cut by the device as often as it allows', () => {
    const constraints = { maxSegments: 4, maxSegmentSize: 2 * MiB }
    const memory = new PhysicalMemory()
    expect(memory.allocate(8 * MiB, { constraints, layout: 'contiguous' }).segments.length).toBe(1)
    expect(refusalOf(memory, 8 * MiB + 1, { constraints, layout: 'contiguous' }).rule).toBe('segment-count')
  })
})

describe('a refusal', () => {
  const small = () => new PhysicalMemory({ byteLength: 64 * MiB, contiguous: 8 * MiB })

  test('says that memory is full', () => {
    const memory = small()
    memory.allocate(40 * MiB)
    expect(refusalOf(memory, 32 * MiB)).toEqual({
      rule: 'size',
      needed: `${32 * MiB} free bytes`,
      got: `${24 * MiB - PAGE} bytes`,
    })
  })

  test('says that there is too little within reach', () => {
    const memory = small()
    expect(refusalOf(memory, 32 * MiB, { constraints: { dmaMask: 0xff_ffffn } })).toEqual({
      rule: 'address-range',
      needed: `${32 * MiB} free bytes at addresses up to 0xff_ffff`,
      got: `${16 * MiB - PAGE} bytes`,
    })
    const full = new PhysicalMemory()
    filledUpTo(full, 16 * MiB)
    expect(refusalOf(full, PAGE, { constraints: { dmaMask: 0xff_ffffn } }).got).toBe('0 bytes')
  })

  test('says how long the longest free run is', () => {
    const memory = small()
    using _ = memory.fragment({ longest: 2 * MiB })
    expect(refusalOf(memory, 4 * MiB, { constraints: { maxSegments: 1 } })).toEqual({
      rule: 'contiguous',
      needed: `a free run of ${4 * MiB} bytes`,
      got: `one of ${2 * MiB} bytes`,
    })
    expect(refusalOf(memory, 4 * MiB, { layout: 'contiguous' }).rule).toBe('contiguous')
  })

  test('says how many segments there would be at least', () => {
    const memory = small()
    using _ = memory.fragment({ longest: MiB })
    expect(refusalOf(memory, 8 * MiB, { constraints: { maxSegments: 7 } })).toEqual({
      rule: 'segment-count',
      needed: 'at most 7 segments',
      got: '8 segments',
    })
    expect(memory.allocate(8 * MiB, { constraints: { maxSegments: 8 } }).segments.length).toBe(8)
  })

  test('says how little there is in runs that are long enough', () => {
    const memory = small()
    using _ = memory.fragment({ longest: 64 * KiB })
    expect(refusalOf(memory, 8 * MiB, { constraints: { minSegmentSize: MiB } })).toMatchObject({
      rule: 'segment-size',
      needed: `${8 * MiB} bytes in free runs of at least ${MiB} bytes`,
    })
  })

  test('says that no place keeps within the boundary', () => {
    const constraints = { maxSegments: 1, segmentBoundaryMask: 0xf_ffffn }
    expect(refusalOf(small(), 2 * MiB, { constraints }).rule).toBe('boundary')
  })
})

describe('fragmented memory', () => {
  test('has no longer free runs, in one zone or everywhere, and is mended when disposed', () => {
    for (const longest of [PAGE, 3 * PAGE, 64 * KiB, 2 * MiB, 4 * MiB, 16 * MiB, GiB]) {
      const memory = new PhysicalMemory()
      const before = memory.stats()
      memory.allocate(MiB).free()
      {
        using _ = memory.fragment({ longest, zone: 'dma32' })
        expect(zoneOf(memory, 'dma32').largestFree).toBeLessThanOrEqual(longest)
        expect(zoneOf(memory, 'normal')).toEqual(before.zones[2])
        expect(memory.stats().contiguous).toEqual(before.contiguous)
      }
      expect(memory.stats()).toEqual(before)
      const everywhere = memory.fragment({ longest })
      const { zones, contiguous } = memory.stats()
      for (const zone of [...zones, contiguous]) {
        expect(zone.largestFree).toBeLessThanOrEqual(longest)
        expect(zone.largestFree).toBeGreaterThan(Math.min(longest, zone.total) / 2 - 2 * PAGE)
        expect(zone.free + zone.held).toBe(zone.total)
      }
      everywhere[Symbol.dispose]()
      everywhere[Symbol.dispose]()
      expect(memory.stats()).toEqual(before)
    }
  })

  test('keeps what is allocated, and takes back what is freed', () => {
    const memory = new PhysicalMemory({ byteLength: 64 * MiB })
    const before = memory.stats()
    const early = memory.allocate(20 * MiB)
    const fragmentation = memory.fragment({ longest: PAGE })
    const late = memory.allocate(MiB)
    early.free()
    expect(memory.stats().zones[1]?.largestFree).toBeGreaterThanOrEqual(MiB)
    fragmentation[Symbol.dispose]()
    expect(memory.stats().allocated).toBe(MiB)
    late.free()
    expect(memory.stats()).toEqual(before)
  })

  test('cannot be fragmented again', () => {
    const memory = new PhysicalMemory()
    using _ = memory.fragment({ longest: PAGE, zone: 'contiguous' })
    const before = memory.stats()
    expect(codeNow(() => memory.fragment({ longest: MiB }))).toBe('EBUSY')
    expect(memory.stats()).toEqual(before)
    memory.fragment({ longest: MiB, zone: 'normal' })[Symbol.dispose]()
  })
})

test('the same seed gives the same addresses, another one others', () => {
  const addresses = (seed: number) => {
    const memory = new PhysicalMemory({ seed })
    return [addressesOf(memory.allocate(9 * MiB)), addressesOf(memory.allocate(50 * PAGE))]
  }
  expect(addresses(7)).toEqual(addresses(7))
  expect(addresses(7)).not.toEqual(addresses(8))
})

test('pages are freed once, however often it is asked for', () => {
  const memory = new PhysicalMemory()
  const before = memory.stats()
  const pages = memory.allocate(MiB)
  expect([pages.freed, memory.stats().allocations, memory.stats().allocated]).toEqual([false, 1, MiB])
  pages.free()
  pages.free()
  pages[Symbol.dispose]()
  expect([pages.freed, memory.stats()]).toEqual([true, before])
})

test('free blocks are counted by order', () => {
  const memory = new PhysicalMemory({ byteLength: 16 * MiB, contiguous: 0 })
  // Page 0 is missing from the first block of 4 MiB.
  expect(zoneOf(memory, 'dma').freeBlocks).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3])
})

test('sizes, constraints and options that make no sense are refused before anything is taken', () => {
  const memory = new PhysicalMemory()
  const bad: (() => unknown)[] = [
    () => new PhysicalMemory({ byteLength: 5000 }),
    () => new PhysicalMemory({ byteLength: PAGE }),
    () => new PhysicalMemory({ byteLength: MiB, contiguous: MiB }),
    () => new PhysicalMemory({ contiguous: 5 * GiB }),
    () => new PhysicalMemory({ seed: -1 }),
    () => new PhysicalMemory({ size: MiB } as never),
    () => memory.allocate(0),
    () => memory.allocate(1.5),
    () => memory.allocate(1, { layout: 'paged' as never }),
    () => memory.allocate(1, { constraints: { maxSegment: 1 } as never }),
    () => memory.allocate(1, { constraints: { maxSegmentSize: 100 } }),
    () => memory.allocate(1, { constraints: { segmentBoundaryMask: 12_345n } }),
    () => memory.allocate(1, { constraints: { minSegmentSize: 2 * MiB, maxSegmentSize: MiB } }),
    () => memory.fragment({ longest: 100 }),
    () => memory.fragment({ longest: MiB, zone: 'high' as never }),
    () => memory.fragment({} as never),
  ]
  for (const call of bad) expect(codeNow(call)).toBe('EINVAL')
  expect(memory.stats()).toEqual(new PhysicalMemory().stats())
})

test('an environment has one physical memory', () => {
  expect(systemMemory()).toBe(systemMemory())
  expect(systemMemory().byteLength).toBe(2 ** 40)
})
