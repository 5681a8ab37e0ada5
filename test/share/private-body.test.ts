import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Segment } from '../../src/dma/constraints.ts'
import { Device } from '../../src/dma.ts'
import { DmaBufError } from '../../src/internal/errors.ts'
import { limits } from '../../src/internal/limits.ts'
import { deviceFrom, deviceText } from '../../src/share/device-text.ts'
import {
  directionBody,
  errorFrom,
  errorText,
  readDirection,
  readSegments,
  readStorageBody,
  segmentsBody,
  storageBody,
} from '../../src/share/private-body.ts'
import { PRIVATE_BYTES, PrivateType, readPrivate, writePrivate } from '../../src/share/private-message.ts'
import { SegmentCollector } from '../../src/share/segment-collector.ts'

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
const word = fc.string({ unit: 'binary', maxLength: 2000 })

test('a message is read as it was written', () => {
  const message = fc.record({
    type: fc.constantFrom(PrivateType.register, PrivateType.go, PrivateType.done, PrivateType.lowered),
    segment: fc.integer({ min: 0, max: 0xffff }),
    ...{ record: u32, generation: u32, idLow: u32, idHigh: u32, serial: u32, argument: u32 },
  })
  fc.assert(
    fc.property(message, (values) => {
      const view = new DataView(new ArrayBuffer(PRIVATE_BYTES))
      writePrivate(view, values)
      expect(readPrivate(view, PRIVATE_BYTES)).toEqual({ ...values, bodyBytes: 0 })
    }),
  )
})

test('bytes whatever are a message or a reason why not', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, honest) => {
      const view = viewOf(bytes)
      if (honest && bytes.length >= PRIVATE_BYTES) writePrivate(view, { type: bytes[5] ?? 0 })
      const message = readPrivate(view, bytes.length)
      if (typeof message === 'string') return
      expect(message.bodyBytes).toBe(bytes.length - PRIVATE_BYTES)
      if (message.type === PrivateType.segments) readSegments(view, PRIVATE_BYTES, message.bodyBytes)
      if (message.type === PrivateType.map) readDirection(view, PRIVATE_BYTES)
    }),
    { numRuns: 2000 },
  )
})

test('sizes, directions and segments are read as they were written', () => {
  const size = fc.integer({ min: 0, max: 2 ** 52 })
  fc.assert(
    fc.property(size, size, (byteLength, offset) => {
      expect(readStorageBody(viewOf(storageBody({ byteLength, offset })), 0)).toEqual({ byteLength, offset })
    }),
  )
  for (const direction of ['to-device', 'from-device', 'bidirectional'] as const) {
    expect(readDirection(viewOf(directionBody(direction)), 0)).toBe(direction)
  }
  const segment = fc.record({ address: size, length: fc.integer({ min: 1, max: 2 ** 40 }) })
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1 }), u32, (segments, left) => {
      const body = segmentsBody(segments, left)
      expect(readSegments(viewOf(body), 0, body.length)).toEqual({ segments, left })
    }),
  )
})

test('a device is the same in another process', () => {
  const devices = [
    new Device('any'),
    new Device('x'.repeat(63), { dmaMask: 0xffff_ffffn, maxSegments: 1 }),
    new Device('ü', { segmentBoundaryMask: 0xffffn, maxSegmentSize: 4096, minSegmentSize: 7 }),
  ]
  for (const { name: deviceName, constraints } of devices) {
    for (const moveNotify of [undefined, () => {}]) {
      const text = deviceText({ deviceName, pid: 1, constraints, moveNotify })
      expect(Buffer.byteLength(text)).toBeLessThan(limits.maxPrivateTextBytes)
      expect(deviceFrom(text)).toEqual({ deviceName, constraints, dynamic: moveNotify !== undefined })
    }
  }
})

test('any text whatever is a device or none, an error or none', () => {
  const near = fc.json().chain((text) => fc.constantFrom(text, `{"code":"EIO","message":${text}}`))
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), near), (text) => {
      deviceFrom(text)
      const error = errorFrom(text)
      if (error !== undefined) expect(error).toBeInstanceOf(DmaBufError)
    }),
    { numRuns: 1000 },
  )
})

test('an error is the same in another process, and never longer than its message may be', () => {
  const error = fc.record({
    code: fc.constantFrom('EINVAL', 'ERR_DMABUF_EVICTED', 'errno 600'),
    message: word,
    hint: fc.option(word, { nil: undefined }),
    ...{ rule: word, needed: word, got: word, syscall: fc.constantFrom(undefined, 'mmap') },
  })
  fc.assert(
    fc.property(error, (init) => {
      const here = new DmaBufError(init)
      const text = errorText(here, 'x')
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(limits.maxPrivateTextBytes)
      const there = errorFrom(text)
      expect(there).toMatchObject({ code: here.code, errno: here.errno, message: init.message.slice(0, 512) })
      expect([there?.needed, there?.got]).toEqual([init.needed.slice(0, 256), init.got.slice(0, 256)])
    }),
  )
  expect(errorFrom(errorText('just a string', 'frame'))).toMatchObject({ code: 'EREMOTEIO' })
  expect(errorFrom(errorText(new TypeError('oh'), 'frame'))?.message).toContain('of buffer frame failed: oh')
})

/** Whole pages, the buffer beginning somewhere in the first. */
const table = fc
  .record({
    runs: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 20 }),
    offset: fc.integer({ min: 0, max: 4095 }),
    short: fc.integer({ min: 0, max: 4095 }),
    cut: fc.integer({ min: 1, max: 7 }),
  })
  .map(({ runs, offset, short, cut }) => {
    const segments: Segment[] = runs.map((pages, at) => ({ address: at << 20, length: pages * 4096 }))
    const bytes = runs.reduce((sum, pages) => sum + pages * 4096, 0)
    return { segments, offset, cut, byteLength: Math.max(1, bytes - offset - short) }
  })

/** What the collector says of a table that comes in parts. */
function collect(byteLength: number, segments: readonly Segment[], offset: number, cut: number) {
  const collector = new SegmentCollector(byteLength)
  for (let first = 0; ; first += cut) {
    const part = segments.slice(first, first + cut)
    const result = collector.add(part, Math.max(0, segments.length - first - cut), offset, 3)
    if (result !== undefined) return result
  }
}

test('a table is whole, whatever the parts it comes in', () => {
  fc.assert(
    fc.property(table, ({ segments, offset, byteLength, cut }) => {
      // The last run may lie behind a very short buffer.
      const end = offset + byteLength
      let bytes = 0
      const needed = segments.filter(({ length }) => {
        bytes += length
        return bytes - length < end
      })
      expect(collect(byteLength, needed, offset, cut)).toEqual({ segments: needed, offset, generation: 3 })
    }),
  )
})

test('a table with too little, too much, or another beginning is refused', () => {
  const page = { address: 0, length: 4096 }
  expect(collect(8192, [page], 0, 1)).toMatch(/ends before/)
  expect(collect(4096, [page, page], 0, 2)).toMatch(/goes on behind/)
  expect(collect(4096, [page, page], 4096, 2)).toMatch(/does not begin/)
  expect(collect(8192, Array<Segment>(5).fill({ address: 0, length: 1 }), 0, 1)).toMatch(
    /more segments than pages/,
  )
  const collector = new SegmentCollector(8192)
  collector.add([page], 1, 0, 1)
  expect(collector.add([page], 0, 0, 2)).toMatch(/two buffers/)
})
