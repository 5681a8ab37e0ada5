import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { encode } from 'fast-png'
import { describe, expect, test } from 'vitest'
import type { Chroma } from '../../examples/demo/lib/colour.ts'
import { parseOptions, UsageError } from '../../examples/demo/lib/options.ts'
import { rgb, sideLimit } from '../../examples/demo/lib/picture.ts'
import { readPng, writePng } from '../../examples/demo/lib/png.ts'
import { combine, parseSmaps } from '../../examples/demo/lib/pss.ts'
import { formatBytes, formatTable } from '../../examples/demo/lib/report.ts'
import { formatHeader, headerLimit, parseFrameHeader, parseHeader } from '../../examples/demo/lib/y4m.ts'

const ascii = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'))
const chromas = fc.constantFrom<Chroma>('420jpeg', '444')
const side = fc.integer({ min: 1, max: 24 })

describe('Y4M', () => {
  const number = fc.integer({ min: 1, max: 999_999_999 })
  const headers = fc.record({
    width: fc.integer({ min: 1, max: sideLimit }),
    height: fc.integer({ min: 1, max: sideLimit }),
    rate: fc.tuple(number, number),
    chroma: chromas,
    range: fc.constantFrom<'limited' | 'full'>('limited', 'full'),
  })

  test('what was written is read, also with bytes behind it; too few bytes ask for more', () => {
    fc.assert(
      fc.property(headers, fc.uint8Array({ maxLength: 40 }), (header, rest) => {
        const line = formatHeader(header)
        expect(parseHeader(Uint8Array.from([...line, ...rest]))).toEqual({ header, byteLength: line.length })
        for (let end = 0; end < line.length; end++) expect(parseHeader(line.subarray(0, end))).toBeUndefined()
      }),
    )
  })

  test('any bytes give a header, a wish for more or a clear refusal', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 2000 }),
      fc.string({ maxLength: 200 }).map((tail) => ascii(`YUV4MPEG2 ${tail}\n`)),
    )
    fc.assert(
      fc.property(anything, (bytes) => {
        for (const parse of [parseHeader, parseFrameHeader]) {
          try {
            parse(bytes)
          } catch (error) {
            expect((error as Error).message).toMatch(/^Y4M[ :][\x20-\x7e]*$/)
          }
        }
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['RIFF....', 'YUV4MPEG2 expected'],
    ['YUV4MPEG2 H4\n', 'width is missing'],
    ['YUV4MPEG2 W4 H-4\n', 'height is no number'],
    ['YUV4MPEG2 W0 H4\n', '0x4 is not a size'],
    ['YUV4MPEG2 W99999 H99999\n', 'is not a size'],
    ['YUV4MPEG2 W4 H4 C420p10\n', 'colour layout C"420p10"'],
    ['YUV4MPEG2 W4 H4 F25\n', 'frame rate is no ratio'],
    [`YUV4MPEG2 ${'X'.repeat(headerLimit)}`, 'more than 1024 bytes'],
  ])('refuses %j', (text, why) => {
    expect(() => parseHeader(ascii(text))).toThrow(why)
  })

  test('defaults, unknown rate, extensions', () => {
    const parsed = parseHeader(
      ascii('YUV4MPEG2 W6 H4 F0:0 It A0:0 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=FULL\n'),
    )
    expect(parsed?.header).toEqual({ width: 6, height: 4, rate: [25, 1], chroma: '420jpeg', range: 'full' })
    expect(parseFrameHeader(ascii('FRAME Ixyz\nrest'))).toBe(11)
    expect(() => parseFrameHeader(ascii('FRAMES\n'))).toThrow('FRAME expected')
  })
})

describe('PNG', () => {
  test('there and back, exactly', () => {
    fc.assert(
      fc.property(side, side, fc.infiniteStream(fc.nat(255)), (width, height, bytes) => {
        const rgba = Uint8Array.from({ length: width * height * 4 }, () => bytes.next().value ?? 0)
        expect(readPng(writePng({ width, height, rgba }), 'it')).toEqual({ width, height, rgba })
      }),
      { numRuns: 30 },
    )
  })

  test('greys, colours, palettes and 16 bits become R, G, B, A', () => {
    const one = { width: 1, height: 1 }
    const read = (image: Parameters<typeof encode>[0]) => [...readPng(encode(image), 'it').rgba]
    expect(read({ ...one, channels: 1, depth: 8, data: Uint8Array.of(9) })).toEqual([9, 9, 9, 255])
    expect(read({ ...one, channels: 2, depth: 8, data: Uint8Array.of(9, 8) })).toEqual([9, 9, 9, 8])
    expect(read({ ...one, channels: 3, depth: 8, data: Uint8Array.of(1, 2, 3) })).toEqual([1, 2, 3, 255])
    expect(read({ ...one, channels: 4, depth: 16, data: Uint16Array.of(0, 257, 65535, 128) })).toEqual([
      0, 1, 255, 0,
    ])
    const palette = [
      [1, 2, 3],
      [4, 5, 6],
    ]
    expect(read({ ...one, channels: 1, depth: 8, data: Uint8Array.of(1), palette })).toEqual([4, 5, 6, 255])
  })

  test('packed greys are spread out to 255, and a see-through grey is known', () => {
    // Three pixels of two bits each: 0, 1 and 3.
    const file = encode({ width: 3, height: 1, channels: 1, depth: 2, data: Uint8Array.of(0b00_01_11_00) })
    expect([...readPng(file, 'it').rgba]).toEqual([0, 0, 0, 255, 85, 85, 85, 255, 255, 255, 255, 255])
    const plain = encode({ width: 2, height: 1, channels: 1, depth: 8, data: Uint8Array.of(9, 8) })
    // The encoder writes no such colour: its chunk is put behind the header by hand.
    const chunk = Buffer.from('tRNS\0\x09', 'latin1')
    const word = (value: number) => [value >>> 24, value >>> 16, value >>> 8, value]
    const keyed = Uint8Array.from([
      ...plain.subarray(0, 33),
      ...word(2),
      ...chunk,
      ...word(crc32(chunk)),
      ...plain.subarray(33),
    ])
    expect([...readPng(keyed, 'it').rgba]).toEqual([9, 9, 9, 0, 8, 8, 8, 255])
  })

  test('refuses what is no PNG, damaged, or larger than it may be', () => {
    const file = writePng({ width: 3, height: 3, rgba: new Uint8Array(36) })
    expect(() => readPng(ascii('GIF89a'), 'x.png')).toThrow('x.png is no PNG file')
    const damaged = file.slice()
    damaged[45]! ^= 0xff
    expect(() => readPng(damaged, 'x.png')).toThrow('x.png is a damaged PNG file')
    expect(() => readPng(file.subarray(0, 50), 'x.png')).toThrow('damaged')
    const huge = file.slice()
    new DataView(huge.buffer).setUint32(16, 4_000_000_000)
    expect(() => readPng(huge, 'x.png')).toThrow('x.png: 4000000000x3 is not a size')
  })
})

describe('memory', () => {
  const region = (path: string, inode: number, size: number, rss: number, pss: number) =>
    `7f00-7f01 rw-s 00000000 00:01 ${inode} ${path}\nSize: ${size} kB\nRss: ${rss} kB\nPss: ${pss} kB\nSwapPss: 5 kB\n`

  test('only memory files count, and one mapped twice is there once', () => {
    const text = `${region('/memfd:frame (deleted)', 7, 8, 8, 3)}${region('/usr/bin/node', 9, 100, 90, 80)}${region('/memfd:frame (deleted)', 7, 8, 4, 1)}`
    expect(parseSmaps(text)).toEqual([{ inode: '7', mapped: 8192, resident: 8192, share: 4096 }])
    expect(parseSmaps('7f00-7f01 rw-p 00000000 00:00 0 \nRss: 4 kB\nPss: 4 kB\n')).toEqual([])
  })

  test('shares add up to the file, or the sample is refused', () => {
    const mapping = (share: number) => ({ inode: '7', mapped: 1 << 20, resident: 1 << 20, share })
    expect(combine([[mapping(1 << 19)], [mapping(1 << 19)], []])).toEqual({
      buffers: 1,
      processes: [
        { mapped: 1 << 20, share: 1 << 19 },
        { mapped: 1 << 20, share: 1 << 19 },
        { mapped: 0, share: 0 },
      ],
    })
    expect(combine([[mapping(1 << 19)], [mapping(1 << 20)]])).toBeUndefined()
  })
})

describe('command line and report', () => {
  test('defaults and every option', () => {
    expect(parseOptions([])).toMatchObject({
      file: null,
      size: { width: 1280, height: 720 },
      frames: null,
      fps: null,
    })
    expect(
      parseOptions(['--size', '64x48', '--frames', '3', '--fps', '25', '--second-buffer', '--out', '/a.y4m']),
    ).toEqual({
      file: null,
      size: { width: 64, height: 48 },
      frames: 3,
      fps: 25,
      secondBuffer: true,
      out: '/a.y4m',
    })
    expect(parseOptions(['--help'])).toBeUndefined()
  })

  test.each([
    [['--frames', '0']],
    [['--frames', '1e3']],
    [['--size', '64']],
    [['--size', '8x8']],
    [['--size', '9999x9999']],
    [['--out', 'a.gif']],
    [['a.png', 'b.png']],
    [['a.png', '--size', '64x48']],
    [['--nonsense']],
  ])('refuses %j', (args) => {
    expect(() => parseOptions(args)).toThrow(UsageError)
  })

  test('bytes and tables', () => {
    expect([0, 1023, 1536, 3_686_400].map(formatBytes)).toEqual(['0 B', '1023 B', '1.5 KiB', '3.5 MiB'])
    expect(
      formatTable([
        ['a', 'long'],
        ['bbb', '1'],
      ]),
    ).toEqual(['a     long', 'bbb      1'])
    expect(rgb(1, 2, 3)).toBe(new Uint32Array(Uint8Array.of(1, 2, 3, 255).buffer)[0])
  })
})
