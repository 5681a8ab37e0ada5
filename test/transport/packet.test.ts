import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../src/internal/limits.ts'
import {
  FENCE_BYTES,
  HANDLE_BYTES,
  HEADER_BYTES,
  type HeaderInit,
  layoutOf,
  MAGIC,
  readHeader,
  VERSION,
  writeHeader,
} from '../../src/transport/packet.ts'

const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })

const headers: fc.Arbitrary<Required<HeaderInit>> = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  flags: u16,
  jsonBytes: u32,
  handles: u16,
  parts: u16,
  descriptors: u32,
  argument: u32,
  fences: u16,
})

test('a header that is written is read back as it was', () => {
  fc.assert(
    fc.property(headers, (init) => {
      const view = new DataView(new ArrayBuffer(HEADER_BYTES))
      writeHeader(view, init)
      expect(readHeader(view, HEADER_BYTES)).toEqual({ version: VERSION, ...init })
    }),
  )
})

test('a header lies in memory as the protocol says', () => {
  const bytes = new Uint8Array(HEADER_BYTES).fill(0xff)
  const view = new DataView(bytes.buffer)
  writeHeader(view, { type: 2, flags: 1, jsonBytes: 7, handles: 3, parts: 4, descriptors: 5, argument: 6 })
  const words = [0x42414d44, 0x00010201, 7, 0x00040003, 5, 6, 0, 0]
  expect(Array.from({ length: 8 }, (_, index) => view.getUint32(index * 4, true))).toEqual(words)
  expect(Buffer.from(bytes.subarray(0, 4)).toString('latin1')).toBe('DMAB')
})

test('any bytes of any length are a header or a reason why not', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, withMagic) => {
      const padded = new Uint8Array(Math.max(HEADER_BYTES, bytes.length))
      padded.set(bytes)
      const view = new DataView(padded.buffer)
      if (withMagic) view.setUint32(0, MAGIC, true)
      const header = readHeader(view, bytes.length)
      if (bytes.length < HEADER_BYTES || view.getUint32(0, true) !== MAGIC)
        expect(header).toBeTypeOf('string')
      else expect(header).toBeTypeOf('object')
    }),
  )
})

test('the layout of a message lies inside its packet and inside the limits, or is refused', () => {
  const small = fc.integer({ min: 0, max: 400 })
  fc.assert(
    fc.property(headers, small, small, fc.nat(limits.maxMessageBytes), (init, handles, parts, length) => {
      const header = {
        version: VERSION,
        ...init,
        handles,
        parts,
        fences: init.fences % 40,
        jsonBytes: init.jsonBytes % (2 * length + 1),
      }
      const layout = layoutOf(header, length)
      if (typeof layout === 'string') {
        const records = handles * HANDLE_BYTES + header.fences * FENCE_BYTES
        const needed = HEADER_BYTES + records + parts * 4 + header.jsonBytes
        const beyond =
          handles > limits.maxBuffersPerMessage ||
          parts > limits.maxPartsPerMessage ||
          header.fences > limits.maxFencesPerMessage
        expect(beyond || needed > length).toBe(true)
        return
      }
      expect(layout.fences).toBe(HEADER_BYTES + handles * HANDLE_BYTES)
      expect(layout.partLengths).toBe(layout.fences + header.fences * FENCE_BYTES)
      expect(layout.json - layout.partLengths).toBe(parts * 4)
      expect(layout.parts).toBe(layout.json + header.jsonBytes)
      expect(layout.parts).toBeLessThanOrEqual(length)
    }),
    { numRuns: 1000 },
  )
})
