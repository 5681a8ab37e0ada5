import fc from 'fast-check'
import { expect, test } from 'vitest'
import { aims } from '../../bench/aims.ts'
import { crossover } from '../../bench/crossover.ts'
import { expectedSum, readAll, readFirst, readPages, writeFirst } from '../../bench/lib/frames.ts'
import { parseCoreList } from '../../bench/lib/pin.ts'
import { parseOptions } from '../../bench/options.ts'
import type { Measurement } from '../../bench/types.ts'

test('reading one word per page and reading every word both arrive at the sum that the producer promised', () => {
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 40_000 }), fc.integer({ min: 1, max: 6 }), (size, frames) => {
      // Off by one, as what a copying peer delivers can be.
      const bytes = new Uint8Array(size + 1).subarray(1)
      let pages = 0
      let all = 0
      for (let seq = 0; seq < frames; seq++) {
        writeFirst(bytes, seq)
        pages = (pages + readPages(bytes)) | 0
        all = (all + readAll(bytes)) | 0
      }
      expect(pages).toBe(expectedSum(frames))
      expect(all).toBe(expectedSum(frames))
    }),
    { numRuns: 30 },
  )
})

test('the first word comes back as it was written', () => {
  const bytes = new Uint8Array(64)
  writeFirst(bytes, 0xfeed)
  expect(readFirst(bytes)).toBe(0xfeed)
})

const point = (size: number, ours: number, theirs: number) => ({
  size,
  framesPerSecond: { ours, zeromq: theirs, 'child-ipc': theirs / 2 },
  roundTripMicros: { ours: theirs, zeromq: ours, 'child-ipc': ours * 2 },
})

test('the crossover is the size from which on ours stays ahead, not the first at which it was', () => {
  const found = crossover([point(4096, 3, 2), point(64, 3, 2), point(1024, 1, 2), point(8192, 9, 2)])
  expect(found.framesFrom).toBe(4096)
  expect(found.roundTripFrom).toBe(4096)
  expect(found.points.map(({ size }) => size)).toEqual([64, 1024, 4096, 8192])
})

test('there is no crossover when ours is behind at the biggest size, or alone', () => {
  expect(crossover([point(64, 3, 2), point(128, 1, 2)]).framesFrom).toBe(null)
  expect(
    crossover([{ size: 64, framesPerSecond: { ours: 1 }, roundTripMicros: { ours: 1 } }]).framesFrom,
  ).toBe(null)
})

function measured(peer: string, size: number, median: number, framesPerSecond: number): Measurement {
  const page = { framesPerSecond, cpuMillis: 1, frames: 1 }
  const handover = { median, p99: median, count: 1 }
  return { peer, size, placement: 'same', figures: { handover, new: handover, page } }
}

test('an aim passes or fails by its limit, and is left open when a peer was not measured', () => {
  const found = aims(
    [
      measured('ours', 64, 10, 1000),
      measured('ours', 8192, 12, 700),
      measured('floor', 64, 3, 2000),
      measured('floor', 8192, 3, 2000),
      measured('shm-typed-array', 8192, 50, 20),
      measured('zeromq', 8192, 50, 20),
    ],
    {
      bracket: {
        read: { medianNs: 80, p99Ns: 90 },
        write: { medianNs: 90, p99Ns: 120 },
        readAndLook: { medianNs: 95, p99Ns: 130 },
        readAwaited: { medianNs: 310, p99Ns: 400 },
        writeAwaited: { medianNs: 200, p99Ns: 300 },
      },
      wakeups: {
        cores: { producer: 0, consumer: 1 },
        eventfd: { median: 20, p99: 30, count: 9 },
        fence: { median: 30, p99: 40, count: 9 },
        times: 1.5,
      },
      guards: null,
      cleaning: {
        signatures: {
          copy: { best: 3900, median: 4000 },
          'clean, 1 % dirty, scattered': { best: 4900, median: 5000 },
        },
        others: {},
      },
      moves: {
        size: 24 << 20,
        copy: { median: 4000, p99: 5000, count: 9 },
        prepared: { median: 5000, p99: 6000, count: 9 },
        fresh: { median: 8400, p99: 9000, count: 9 },
        takeOver: { median: 400, p99: 500, count: 9 },
      },
    },
  )
  expect(found.map(({ measured }) => measured && Number(measured.toPrecision(3)))).toEqual([
    1.2,
    3.33,
    3.33,
    0.09,
    0.31,
    1.5,
    null,
    null,
    1.25,
    35,
    null,
    35,
    null,
    1.25,
    2.1,
  ])
  expect(found.map(({ pass }) => pass)).toEqual([
    ...[true, false, true, true],
    ...[false, true, null, null, false],
    ...[true, null, false, null],
    ...[true, false],
  ])
})

test('options are read, and a wrong one is refused with a sentence', () => {
  expect(parseOptions([])).toMatchObject({ rounds: 3, placements: ['same', 'different'], crossover: true })
  expect(parseOptions(['--quick', '--peers', 'ours,floor', '--cores', 'same'])).toMatchObject({
    rounds: 1,
    peers: ['ours', 'floor'],
    placements: ['same'],
  })
  expect(parseOptions(['--help'])).toBe(undefined)
  expect(() => parseOptions(['--peers', 'nobody'])).toThrow(/--peers must be one of/)
  expect(() => parseOptions(['--sizes', '2'])).toThrow(/4 bytes or more/)
  expect(() => parseOptions(['--rounds', '0'])).toThrow(/above 0/)
  expect(() => parseOptions(['--frames', '1.5'])).toThrow(/whole number/)
})

test('lists of cores as the kernel writes them', () => {
  expect(parseCoreList('0-2,8\n')).toEqual([0, 1, 2, 8])
  expect(parseCoreList('5')).toEqual([5])
  expect(parseCoreList('')).toEqual([])
})
