import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CacheEvent } from '../../src/memory/cache/cpu-cache.ts'
import { CacheHeader } from '../../src/memory/cache/layout.ts'
import { directionOf, maintenance } from '../../src/memory/cache/maintenance.ts'
import type { Schedule, Turn } from '../../src/memory/cache/schedule.ts'
import { LINE, PlainBuffer, plainBuffer } from './memory.ts'

/** An adversary that does one thing at one moment, to all lines. */
function only(moment: number, action: Turn['action']): Schedule {
  return {
    at: (now, _, lines) =>
      now === moment ? { action, range: { first: 0, last: lines }, takes: () => true } : undefined,
  }
}

describe('what a missing or wrong bracket causes', () => {
  test('stale read: without a begin the CPU sees what it loaded before the DMA', () => {
    const { model, bytes, dmaWrite } = bound()
    model.map('from-device', false)
    model.begin('read', 0, LINE)
    expect(bytes[0]).toBe(0)
    model.end('read', 0, LINE)
    dmaWrite(0, LINE, 7)
    expect(bytes[0]).toBe(0)
    model.begin('read', 0, LINE)
    expect(bytes[0]).toBe(7)
  })

  test('stale read: a begin for writing invalidates nothing', () => {
    const { model, bytes, dmaWrite } = bound()
    model.map('from-device', false)
    model.begin('read', 0, LINE)
    model.end('read', 0, LINE)
    dmaWrite(0, LINE, 7)
    model.begin('write', 0, LINE)
    expect(bytes[0]).toBe(0)
    model.end('write', 0, LINE)
    model.begin('read-write', 0, LINE)
    expect(bytes[0]).toBe(7)
  })

  test('stale read: a begin that is too short leaves the rest of the frame old', () => {
    const { model, bytes, dmaWrite } = bound()
    model.map('from-device', false)
    model.begin('read', 0, 4096)
    model.end('read', 0, 4096)
    dmaWrite(0, 4096, 7)
    model.begin('read', 0, 100)
    expect([bytes[0], bytes[127], bytes[128]]).toEqual([7, 7, 0])
  })

  test('lost write: without an end the device reads what was there before', () => {
    const { model, bytes, dmaRead } = bound()
    model.map('to-device', false)
    model.begin('write', 0, LINE)
    bytes[3] = 5
    expect(dmaRead(0, 4)).toEqual([0, 0, 0, 0])
    model.end('write', 0, LINE)
    expect(dmaRead(0, 4)).toEqual([0, 0, 0, 5])
  })

  test('lost write: what was stored after the end is dropped by the next begin for reading', () => {
    const { model, bytes } = bound()
    model.map('bidirectional', false)
    model.begin('write', 0, LINE)
    model.end('write', 0, LINE)
    bytes[3] = 5
    model.begin('read', 0, LINE)
    expect(bytes[3]).toBe(0)
  })

  test('write-back over DMA: a line stored into outside a bracket is evicted over what the device wrote', () => {
    const { model, bytes, dmaRead, dmaWrite } = bound()
    model.schedule = only(2, 'evict')
    model.map('from-device', false)
    bytes[3] = 5
    dmaWrite(0, LINE, 7)
    model.tick()
    expect(dmaRead(0, 5)).toEqual([0, 0, 0, 5, 0])
  })

  test('a write bracket over part of a stale line writes all of it back', () => {
    const { model, bytes, dmaRead, dmaWrite } = bound()
    model.map('bidirectional', false)
    model.begin('read', 0, LINE)
    model.end('read', 0, LINE)
    dmaWrite(0, LINE, 7)
    model.begin('write', 3, 1)
    bytes[3] = 5
    model.end('write', 3, 1)
    expect(dmaRead(0, 5)).toEqual([0, 0, 0, 5, 0])
  })

  test('line-sharing clobber: the neighbour of what a device wrote is written back with its line', () => {
    const { model, bytes, dmaRead, dmaWrite } = bound()
    model.map('bidirectional', false)
    model.begin('read-write', 0, 8)
    dmaWrite(32, 32, 7)
    bytes[0] = 1
    model.end('read-write', 0, 8)
    expect(dmaRead(32, 1)).toEqual([0])
  })

  test('line-sharing: invalidating part of a line keeps what was stored in the other part, and loses the DMA', () => {
    const { model, bytes, dmaWrite } = bound()
    model.map('bidirectional', false)
    model.begin('write', 0, 8)
    bytes[0] = 1
    dmaWrite(32, 32, 7)
    model.begin('read', 32, 32)
    expect([bytes[0], bytes[32]]).toEqual([1, 0])
  })

  test('a speculative prefetch before the DMA is as bad as a load', () => {
    const seen = [false, true].map((prefetches) => {
      const { model, bytes, dmaWrite } = bound()
      if (prefetches) model.schedule = only(1, 'prefetch')
      model.map('from-device', false)
      dmaWrite(0, LINE, 7)
      model.begin('read', 0, LINE, { skipInvalidate: true })
      return bytes[0]
    })
    expect(seen).toEqual([7, 0])
  })

  test('what is told of a range that begins and ends inside lines: only those are cleaned', () => {
    const { model, bytes } = bound()
    model.map('bidirectional', false)
    model.begin('write', 0, 4 * LINE)
    for (const line of [0, 1, 3]) bytes[line * LINE] = 1
    const told: unknown[] = []
    model.observe = ({ what, ranges, dirty }) => told.push([what, ranges, dirty])
    model.begin('read', 8, 3 * LINE)
    expect(told).toEqual([
      ['clean', [0, 3].map((first) => ({ first, last: first + 1 })), 2],
      ['invalidate', [{ first: 0, last: 4 }], 1],
    ])
  })
})

describe('what does nothing', () => {
  test('a bracket when no device is mapped', () => {
    const { model, bytes, dmaRead } = bound()
    model.begin('write', 0, LINE)
    bytes[0] = 5
    model.end('write', 0, LINE)
    expect(dmaRead(0, 1)).toEqual([0])
    model.map('to-device', false)
    expect(dmaRead(0, 1)).toEqual([5])
  })

  test('a bracket when only coherent devices are mapped: they snoop', () => {
    const { model, bytes, memory, dmaRead, dmaWrite } = bound()
    model.map('bidirectional', true)
    model.begin('write', 0, LINE)
    bytes[0] = 5
    model.end('write', 0, LINE)
    expect(memory.memory[0]).toBe(0)
    expect(dmaRead(0, 1, true)).toEqual([5])
    dmaWrite(1, 1, 7, true)
    expect([...bytes.subarray(0, 2)]).toEqual([5, 7])
    expect([...memory.memory.subarray(0, 2)]).toEqual([5, 7])
    model.unmap('bidirectional', true)
  })

  test('what a coherent device writes is in memory at once, and nothing else of its lines', () => {
    const { model, bytes, memory, dmaWrite } = bound()
    model.begin('read', 0, 4 * LINE)
    bytes[0] = 5
    bytes[2 * LINE] = 6
    // From the middle of one dirty line to the middle of another, over a clean one that memory has changed under.
    dmaWrite(LINE, LINE, 9)
    dmaWrite(32, 2 * LINE, 7, true)
    expect([bytes[0], bytes[32], bytes[LINE], bytes[2 * LINE + 31]]).toEqual([5, 7, 7, 7])
    expect([...memory.memory.subarray(31, 33)]).toEqual([0, 7])
    expect([memory.memory[LINE], memory.memory[2 * LINE], memory.memory[2 * LINE + 32]]).toEqual([7, 7, 0])
    model.map('to-device', false)
    expect([memory.memory[0], memory.memory[2 * LINE]]).toEqual([5, 7])
  })

  test('a coherent device that writes what the cache has already writes it to memory too', () => {
    const { model, memory, dmaWrite } = bound()
    model.begin('read', 0, LINE)
    dmaWrite(0, LINE, 9)
    dmaWrite(0, LINE, 0, true)
    expect(memory.memory[0]).toBe(0)
  })

  test('the hints leave out what they name', () => {
    const { model, bytes, dmaRead, dmaWrite } = bound()
    model.begin('read', 0, LINE)
    bytes[0] = 5
    model.map('bidirectional', false, { skipClean: true })
    expect(dmaRead(0, 1)).toEqual([0])
    model.end('write', 0, LINE, { skipClean: true })
    expect(dmaRead(0, 1)).toEqual([0])
    dmaWrite(0, 1, 7)
    model.begin('read', 0, LINE, { skipInvalidate: true })
    model.unmap('bidirectional', false, { skipInvalidate: true })
    expect(bytes[0]).toBe(5)
  })
})

test('the table of maintenance is that of arm64', () => {
  expect(maintenance.forCpu).toEqual({
    'to-device': 'nothing',
    'from-device': 'invalidate',
    bidirectional: 'invalidate',
  })
  expect(new Set(Object.values(maintenance.forDevice))).toEqual(new Set(['clean']))
  expect(directionOf).toEqual({ read: 'from-device', write: 'to-device', 'read-write': 'bidirectional' })
})

test('unmapping cleans nothing and invalidates by its direction', () => {
  for (const [direction, left] of [
    ['to-device', 5],
    ['from-device', 0],
    ['bidirectional', 0],
  ] as const) {
    const { model, bytes } = bound()
    model.map(direction, false)
    bytes[0] = 5
    model.unmap(direction, false)
    expect(bytes[0]).toBe(left)
    expect(model.mapped).toBe(0)
  }
})

test('the same seed does the same, and says what it did', () => {
  const run = (seed: number) => {
    const { model, bytes, dmaWrite } = bound(seed)
    const events: CacheEvent[] = []
    model.observe = (event) => events.push(event)
    model.map('bidirectional', false)
    for (let round = 0; round < 20; round++) {
      bytes[round * LINE] = round + 1
      dmaWrite(2048, 64, round)
      model.tick()
    }
    return events
  }
  expect(run(1)).toEqual(run(1))
  expect(run(1)).not.toEqual(run(2))
  const kinds = new Set(run(1).map(({ what }) => what))
  expect([...kinds].toSorted()).toEqual(['clean', 'evict', 'prefetch'])
})

test('two models over one memory, as two processes are, are one cache and one schedule', () => {
  const one = plainBuffer(4096, 3)
  const { model } = new PlainBuffer(one.memory)
  one.model.map('from-device', false)
  expect(model.mapped).toBe(1)
  model.tick()
  expect(one.memory.header[CacheHeader.moments]).toBe(2)
})

/** What a program that does everything right may do. */
type Step =
  | { readonly do: 'read' | 'update' | 'overwrite'; readonly at: number; readonly bytes: number }
  | {
      readonly do: 'dma read' | 'dma write'
      readonly at: number
      readonly bytes: number
      readonly snoops: boolean
    }

const SIZE = 1000

test('a program that brackets rightly never notices the cache, under any seed', () => {
  const place = { at: fc.nat(SIZE - 1), bytes: fc.integer({ min: 1, max: 300 }) }
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ do: fc.constantFrom('read', 'update', 'overwrite'), ...place }),
    fc.record({ do: fc.constantFrom('dma read', 'dma write'), ...place, snoops: fc.boolean() }),
  )
  const lineSize = fc.constantFrom(16, 64, 256)
  const steps = fc.array(step, { maxLength: 40 })
  fc.assert(
    fc.property(steps, fc.nat(1000), lineSize, fc.boolean(), (program, seed, line, stays) => {
      const { model, bytes, dmaRead, dmaWrite } = bound(seed, SIZE, line)
      const expected = new Uint8Array(SIZE)
      // Mapped all the time, with brackets; or mapped anew for each DMA.
      if (stays) model.map('bidirectional', false)
      program.forEach((next, index) => {
        const length = Math.min(next.bytes, SIZE - next.at)
        const end = next.at + length
        if (next.do === 'read') {
          model.begin('read', next.at, length)
          expect([...bytes.subarray(next.at, end)]).toEqual([...expected.subarray(next.at, end)])
          model.end('read', next.at, length)
        } else if (next.do === 'update') {
          model.begin('read-write', next.at, length)
          bytes.fill(index, next.at, end)
          model.end('read-write', next.at, length)
          expected.fill(index, next.at, end)
        } else if (next.do === 'overwrite') {
          // Whole lines: whoever only writes may not share one with others.
          const from = Math.floor(next.at / line) * line
          const to = Math.min(SIZE, Math.ceil(end / line) * line)
          model.begin('write', from, to - from)
          bytes.fill(index, from, to)
          model.end('write', from, to - from)
          expected.fill(index, from, to)
        } else if ('snoops' in next) {
          const writes = next.do === 'dma write'
          const direction = writes ? 'from-device' : 'to-device'
          model.map(direction, next.snoops)
          if (writes) {
            dmaWrite(next.at, length, index, next.snoops)
            expected.fill(index, next.at, end)
          } else {
            expect(dmaRead(next.at, length, next.snoops)).toEqual([...expected.subarray(next.at, end)])
          }
          model.unmap(direction, next.snoops)
        }
      })
    }),
  )
})

/** A buffer whose methods can be taken out of it. */
function bound(seed?: number, byteLength = 4096, lineSize = LINE) {
  const buffer = plainBuffer(byteLength, seed, lineSize)
  return {
    model: buffer.model,
    memory: buffer.memory,
    bytes: buffer.bytes,
    dmaWrite: buffer.dmaWrite.bind(buffer),
    dmaRead: buffer.dmaRead.bind(buffer),
  }
}
