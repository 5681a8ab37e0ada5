import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { entriesFor } from '../../src/dma/sg-table.ts'
import { Device, Iommu } from '../../src/dma.ts'
import { codeNow, failure } from '../support/fails.ts'
import { addressOf, anyConstraints, anySegments } from './constraints.ts'
import { Machine, PAGE, tableOf } from './memory.ts'

const scattered = [5, 2, 9].map((page) => ({ address: page * PAGE, length: PAGE }))

describe('a table', () => {
  test('lists the entries in the order of the bytes, as often as one likes', () => {
    const device = new Device('gpu')
    const { table } = tableOf(device, scattered, { direction: 'to-device' })
    const addresses = [0x5000n, 0x2000n, 0x9000n]
    expect([...table].map(({ dmaAddress }) => dmaAddress)).toEqual(addresses)
    expect([...table].map(({ dmaAddress }) => dmaAddress)).toEqual(addresses)
    expect(table.at(1)).toEqual({ dmaAddress: 0x2000n, length: PAGE, offset: 0 })
    expect(table).toMatchObject({
      device,
      direction: 'to-device',
      byteLength: 3 * PAGE,
      length: 3,
      moved: false,
      generation: 1,
      closed: false,
    })
  })

  test('has no entry outside', () => {
    const { table } = tableOf(new Device('gpu'), scattered)
    for (const index of [-1, 3, 0.5]) expect(codeNow(() => table.at(index))).toBe('EINVAL')
  })

  test('is unmapped once, however often and in whichever way', async () => {
    const { table, state } = tableOf(new Device('gpu'), scattered)
    {
      await using inner = table
      using same = inner
      same.unmap()
    }
    table.unmap()
    expect([state.unmaps, table.closed]).toEqual([1, true])
  })

  test('shows no address after unmap, and still says what it was', () => {
    const { table } = tableOf(new Device('gpu'), scattered)
    table.unmap()
    expect([codeNow(() => [...table]), codeNow(() => table.at(0))]).toEqual(['EBADF', 'EBADF'])
    expect([table.length, table.byteLength, table.device.name]).toEqual([3, 3 * PAGE, 'gpu'])
  })
})

describe('the entries for a device', () => {
  test('are refused with the rule, for people and for programs', async () => {
    const error = await failure(() => tableOf(new Device('display', { maxSegments: 1 }), scattered))
    expect(error).toMatchObject({
      code: 'EINVAL',
      errno: -22,
      rule: 'contiguous',
      needed: '1 segment',
      got: '3 segments',
      message: 'EINVAL: display cannot use buffer test: contiguous needs 1 segment, got 3 segments',
    })
  })

  test('are one behind an IOMMU, and the IOVAs come back with the table', () => {
    const iommu = new Iommu()
    const free = iommu.freeBytes
    const { table } = tableOf(new Device('display', { maxSegments: 1, iommu }), scattered)
    expect([table.length, table.at(0).length, iommu.mappings]).toEqual([1, 3 * PAGE, 1])
    expect(iommu.translate(table.at(0).dmaAddress + BigInt(PAGE))).toBe(0x2000n)
    table.unmap()
    expect([iommu.mappings, iommu.freeBytes]).toEqual([0, free])
  })

  test('are split by the limits of the device in IOVA space, too', () => {
    const iommu = new Iommu()
    const device = new Device('dsp', { iommu, maxSegmentSize: 2 * PAGE })
    const { table } = tableOf(device, scattered)
    expect([...table].map(({ length }) => length)).toEqual([2 * PAGE, PAGE])
    expect(table.at(1).dmaAddress - table.at(0).dmaAddress).toBe(BigInt(2 * PAGE))
  })

  test('that are refused leave no IOVAs behind', async () => {
    const iommu = new Iommu()
    const device = new Device('dsp', { iommu, maxSegmentSize: PAGE, maxSegments: 2 })
    expect((await failure(() => tableOf(device, scattered))).rule).toBe('segment-count')
    expect([iommu.mappings, iommu.pageTablePages]).toEqual([0, 0])
  })

  test('cover the bytes of the buffer and no others, whatever the device', () => {
    const buffer = fc.record({ skip: fc.nat(9000), short: fc.nat(9000), behindIommu: fc.boolean() })
    const samples = fc.array(fc.nat(), { minLength: 20, maxLength: 20 })
    fc.assert(
      fc.property(anySegments, anyConstraints, buffer, samples, (segments, constraints, options, bytes) => {
        const total = segments.reduce((sum, { length }) => sum + length, 0)
        const byteLength = total - options.skip - options.short
        fc.pre(byteLength > 0)
        const iommu = new Iommu()
        const device = new Device('any', { ...constraints, ...(options.behindIommu ? { iommu } : {}) })
        const made = unlessRefused(() => entriesFor(device, segments, options.skip, byteLength, 'it'))
        if (made === undefined) return
        const entries = made.entries.map(({ dmaAddress, length }) => ({
          address: Number(dmaAddress),
          length,
        }))
        expect(entries.reduce((sum, { length }) => sum + length, 0)).toBe(byteLength)
        for (const sample of [0, byteLength - 1, ...bytes]) {
          const byte = sample % byteLength
          const address = BigInt(addressOf(entries, byte))
          const physical = options.behindIommu ? iommu.translate(address) : address
          expect(physical).toBe(BigInt(addressOf(segments, options.skip + byte)))
        }
      }),
      { numRuns: 500 },
    )
  })

  function unlessRefused<T>(run: () => T): T | undefined {
    try {
      return run()
    } catch (error) {
      expect(error).toMatchObject({ rule: expect.any(String) })
      return undefined
    }
  }
})

describe('memory that begins inside a page', () => {
  const machine = new Machine()
  const secret = new Uint8Array(3 * PAGE).fill(0xee)
  const message = Uint8Array.from({ length: 2 * PAGE }, (_, i) => (i * 7) % 200)
  secret.set(message, 100)
  machine.scatter(scattered, secret)
  const { table } = tableOf(new Device('display'), scattered, { sgOffset: 100, byteLength: message.length })

  test('has the offset in the address of its first entry, and beside it', () => {
    expect([...table].map(({ dmaAddress, length, offset }) => [dmaAddress, length, offset])).toEqual([
      [0x5064n, PAGE - 100, 100],
      [0x2000n, PAGE, 0],
      [0x9000n, 100, 0],
    ])
  })

  test('is read right by an importer that uses the addresses', () => {
    const read = [...table].map(({ dmaAddress, length }) => ({ address: Number(dmaAddress), length }))
    expect(machine.gather(read)).toEqual(Buffer.from(message))
  })

  test('is read wrong by an importer that takes page addresses and ignores the offset', () => {
    const pageOf = (address: bigint) => Number(address / BigInt(PAGE)) * PAGE
    const ignoring = [...table].map(({ dmaAddress, length }) => ({ address: pageOf(dmaAddress), length }))
    const read = machine.gather(ignoring)
    expect(read).not.toEqual(Buffer.from(message))
    expect([...read.subarray(0, 100)].every((byte) => byte === 0xee)).toBe(true)
    const adding = [...table].map(({ dmaAddress, length, offset }) => ({
      address: pageOf(dmaAddress) + offset,
      length,
    }))
    expect(machine.gather(adding)).toEqual(Buffer.from(message))
  })
})
