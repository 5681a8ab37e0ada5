import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { unconstrained } from '../../src/dma/constraints.ts'
import type { IovaMapping } from '../../src/dma/iommu.ts'
import { Device, Iommu, type IommuOptions } from '../../src/dma.ts'
import { codeNow } from '../support/fails.ts'
import { addressOf, anySegments, runsOf } from './constraints.ts'

const PAGE = 4096
const MiB = 1 << 20
const any = { name: 'any', constraints: unconstrained }
const near = { name: 'near', constraints: { ...unconstrained, dmaMask: 0xff_ffffn } }

function pages(count: number, first = 0x1000): { address: number; length: number }[] {
  // Every other page, so that nothing but an IOMMU joins them.
  return Array.from({ length: count }, (_, i) => ({ address: (first + 2 * i) * PAGE, length: PAGE }))
}

/** 64 MiB below the address 64 MiB. */
function small(options: IommuOptions = {}): Iommu {
  return new Iommu({ aperture: { start: 0x1000n, end: 0x3ff_ffffn }, ...options })
}

describe('a mapping', () => {
  test('is one run of IOVAs, however scattered the memory is', () => {
    const { runs } = new Iommu().map(pages(100), any)
    expect(runs).toHaveLength(1)
    expect(runs[0]?.length).toBe(100 * PAGE)
  })

  test('keeps the place of the first byte in its page', () => {
    const [first, ...rest] = pages(3)
    const segments = [{ address: first!.address + 100, length: PAGE - 100 }, ...rest]
    const { runs } = new Iommu().map(segments, any)
    expect(runs).toHaveLength(1)
    expect(runs[0]!.address % PAGE).toBe(100)
    expect(runs[0]!.length).toBe(3 * PAGE - 100)
  })

  test('lies as high as the device reaches, and at a multiple of its size', () => {
    const iommu = new Iommu()
    expect(iommu.map(pages(4), near).runs[0]?.address).toBe(0xff_c000)
    expect(iommu.map(pages(4), near).runs[0]?.address).toBe(0xff_8000)
    expect(iommu.map(pages(4), any).runs[0]?.address).toBe(2 ** 48 - 4 * PAGE)
  })

  test('lies anywhere when no multiple of its size is free', () => {
    const iommu = new Iommu({ aperture: { start: 0x1000n, end: 0x3fffn } })
    expect(iommu.map(pages(3), any).runs).toEqual([{ address: 0x1000, length: 3 * PAGE }])
  })

  test('leads each IOVA to its byte of memory, and others nowhere', () => {
    const iommu = new Iommu()
    const segments = pages(3)
    const mapping = iommu.map(segments, any)
    const base = BigInt(mapping.runs[0]!.address)
    for (const [i, { address }] of segments.entries()) {
      expect(iommu.translate(base + BigInt(i * PAGE + 7))).toBe(BigInt(address + 7))
    }
    expect([iommu.translate(base - 1n), iommu.translate(base + BigInt(3 * PAGE))]).toEqual([
      undefined,
      undefined,
    ])
    expect(iommu.translate(0n)).toBeUndefined()
    mapping.unmap()
    expect(iommu.translate(base)).toBeUndefined()
  })

  test('of memory that does not fill large IOMMU pages has a run for each piece, within one range', () => {
    const iommu = new Iommu({ pageSize: 65_536 })
    const segments = [
      { address: 0x1_0000, length: 0x1_0000 },
      { address: 0x4_0000, length: 0x2000 },
      { address: 0x9_3000, length: 0x1000 },
    ]
    const { runs } = iommu.map(segments, any)
    expect(runs.map(({ length }) => length)).toEqual([0x1_2000, 0x1000])
    expect(runs[1]!.address % 0x1_0000).toBe(0x3000)
    expect(iommu.translate(BigInt(runs[1]!.address + 5))).toBe(0x9_3005n)
    expect(iommu.translate(BigInt(runs[1]!.address - 1))).toBeUndefined()
  })

  test('of no memory takes nothing', () => {
    const iommu = small()
    const { runs, unmap } = iommu.map([], any)
    expect([runs, iommu.mappings]).toEqual([[], 0])
    unmap()
    expect(iommu.mappings).toBe(0)
  })

  test('is given back once, however often it is unmapped', () => {
    const iommu = small()
    const free = iommu.freeBytes
    const [first, second] = [iommu.map(pages(2), any), iommu.map(pages(2), any)]
    first.unmap()
    first.unmap()
    expect([iommu.mappings, iommu.freeBytes]).toEqual([1, free - 2 * PAGE])
    second.unmap()
    expect([iommu.mappings, iommu.freeBytes, iommu.pageTablePages]).toEqual([0, free, 0])
  })
})

describe('what is exhausted is ENOSPC', () => {
  test('IOVA space, which unmap gives back', () => {
    const iommu = small()
    const first = iommu.map([{ address: 0, length: 40 * MiB }], any)
    expect(() => iommu.map([{ address: 0, length: 32 * MiB }], any)).toThrow(
      /^ENOSPC: the IOMMU of any has no IOVA space for 33554432 bytes: 25161728 bytes are free in one piece/,
    )
    first.unmap()
    iommu.map([{ address: 0, length: 32 * MiB }], any).unmap()
  })

  test('the part of it that a device reaches, while others go on', () => {
    const iommu = small()
    iommu.map([{ address: 0, length: 15 * MiB }], near)
    expect(codeNow(() => iommu.map([{ address: 0, length: 2 * MiB }], near))).toBe('ENOSPC')
    expect(iommu.map([{ address: 0, length: 2 * MiB }], any).runs).toHaveLength(1)
  })

  test('page tables, and nothing is taken then', () => {
    // 2 MiB for each table of the lowest level; one above it, below the root, for each GiB and one for all.
    const iommu = new Iommu({ pageTablePages: 6 })
    const free = iommu.freeBytes
    const first = iommu.map([{ address: 0, length: 8 * MiB }], any)
    expect(iommu.pageTablePages).toBe(6)
    expect(() => iommu.map(pages(1), any)).toThrow(/ENOSPC: .*1 more are needed, 0 of 6 are free/)
    expect(iommu.freeBytes).toBe(free - 8 * MiB)
    first.unmap()
    iommu.map(pages(1), any)
    expect(iommu.pageTablePages).toBe(3)
  })
})

test.each<[string, unknown]>([
  ['a page size that is no power of two', { pageSize: 12_288 }],
  ['a page size below 4096', { pageSize: 512 }],
  ['an aperture of numbers', { aperture: { start: 0x1000, end: 0xffff } }],
  ['an aperture with part of a page', { aperture: { start: 0x1000n, end: 0xfff0n } }],
  ['an aperture that begins at 0', { aperture: { start: 0n, end: 0xffffn } }],
  ['an aperture that ends before it begins', { aperture: { start: 0x4000n, end: 0x1fffn } }],
  ['no page tables', { pageTablePages: 0 }],
  ['a misspelled option', { pagesize: 4096 }],
  ['a misspelled aperture', { aperture: { from: 1n } }],
])('an IOMMU with %s is refused', (_, options) => {
  expect(codeNow(() => new Iommu(options as IommuOptions))).toBe('EINVAL')
})

test('several devices may share one IOMMU, and get ranges of one space', () => {
  const iommu = small()
  const [a, b] = [new Device('a', { iommu }), new Device('b', { iommu, dmaMask: 0xff_ffffn })]
  const [first] = iommu.map(pages(1), a).runs
  const [second] = iommu.map(pages(1), b).runs
  expect(second!.address).toBeLessThan(0x100_0000)
  expect(first!.address).not.toBe(second!.address)
})

describe('against a model', () => {
  const command = fc.oneof(
    fc.record({ map: anySegments, nearby: fc.boolean() }),
    fc.record({ unmap: fc.nat(20) }),
  )
  const settings = fc.record({
    pageSize: fc.constantFrom(4096, 16_384),
    pageTablePages: fc.constantFrom(3, 8, 1000),
    end: fc.constantFrom(0xf_ffffn, 0xff_ffffn, 0xffff_ffffn),
  })

  test('ranges never overlap, reach no further than the device, and all of it comes back', () => {
    fc.assert(
      fc.property(settings, fc.array(command, { maxLength: 40 }), ({ end, ...options }, commands) => {
        const iommu = new Iommu({ ...options, aperture: { start: BigInt(options.pageSize), end } })
        const all = iommu.freeBytes
        const live: { mapping: IovaMapping; first: number; last: number }[] = []
        for (const step of commands) {
          if ('unmap' in step) {
            const [gone] = live.splice(step.unmap % Math.max(1, live.length), 1)
            gone?.mapping.unmap()
          } else {
            const device = step.nearby ? near : any
            const mapping = mapped(iommu, step.map, device)
            if (mapping === undefined) continue
            const runs = mapping.runs
            const limit = Math.min(Number(end), Number(device.constraints.dmaMask))
            const first = Math.floor(runs[0]!.address / options.pageSize)
            const last = Math.floor((runs.at(-1)!.address + runs.at(-1)!.length - 1) / options.pageSize)
            expect(first).toBeGreaterThanOrEqual(1)
            expect((last + 1) * options.pageSize - 1).toBeLessThanOrEqual(limit)
            for (const other of live) expect(other.last < first || other.first > last).toBe(true)
            live.push({ mapping, first, last })
          }
          expect(iommu.pageTablePages).toBe(tables(live, options.pageSize, Number(end) + 1))
          expect(iommu.pageTablePages).toBeLessThanOrEqual(options.pageTablePages)
          const used = live.reduce((sum, { first, last }) => sum + last - first + 1, 0)
          expect(iommu.freeBytes).toBe(all - used * options.pageSize)
        }
        for (const { mapping } of live) mapping.unmap()
        expect([iommu.freeBytes, iommu.pageTablePages, iommu.mappings]).toEqual([all, 0, 0])
        const whole = Math.min(all, 512 * options.pageSize)
        iommu.map([{ address: 0, length: whole }], any).unmap()
      }),
      { numRuns: 300 },
    )
  })

  test('every byte is found again behind its IOVA', () => {
    fc.assert(
      fc.property(anySegments, fc.constantFrom(4096, 65_536), fc.nat(), (segments, pageSize, seed) => {
        const iommu = new Iommu({ pageSize })
        const { runs } = iommu.map(segments, any)
        const total = segments.reduce((sum, { length }) => sum + length, 0)
        expect(runs.reduce((sum, { length }) => sum + length, 0)).toBe(total)
        const byte = seed % total
        expect(iommu.translate(BigInt(addressOf(runs, byte)))).toBe(BigInt(addressOf(segments, byte)))
        if (pageSize === PAGE) expect(runs).toEqual(runsOf(runs))
      }),
    )
  })

  function mapped(iommu: Iommu, segments: Parameters<Iommu['map']>[0], device: typeof any) {
    try {
      return iommu.map(segments, device)
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' })
      return undefined
    }
  }

  /** Tables below the root that some live page needs, counted one by one. */
  function tables(live: { first: number; last: number }[], pageSize: number, end: number): number {
    const fanOut = pageSize / 8
    const needed = new Set<string>()
    for (let level = 1; fanOut ** level < end / pageSize; level++) {
      for (const { first, last } of live) {
        for (let page = first; page <= last; page++)
          needed.add(`${level}:${Math.floor(page / fanOut ** level)}`)
      }
    }
    return needed.size
  }
})
