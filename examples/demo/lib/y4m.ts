import { type Chroma, type ColourRange, planesBytes } from './colour.ts'
import { checkSize, type Size } from './picture.ts'

/** What a YUV4MPEG2 file says of itself in its first line. */
export type Y4mHeader = Size & {
  rate: [numerator: number, denominator: number]
  chroma: Chroma
  range: ColourRange
}

/** A longer line is no header, whatever follows. */
export const headerLimit = 1024
const NEWLINE = 0x0a
const MAGIC = 'YUV4MPEG2'

/** The 8-bit layouts we read. The kinds of 4:2:0 differ by less than a pixel in where chroma is meant to be. */
const layouts = new Map<string, Chroma>([
  ['420', '420jpeg'],
  ['420jpeg', '420jpeg'],
  ['420mpeg2', '420jpeg'],
  ['420paldv', '420jpeg'],
  ['444', '444'],
])

/**
 * Reads the line that a Y4M file begins with. `bytes` may end before the line does: then the result is undefined,
 * and more bytes are needed. Throws for everything that cannot become a header any more.
 */
export function parseHeader(bytes: Uint8Array): { header: Y4mHeader; byteLength: number } | undefined {
  const line = takeLine(bytes, MAGIC, headerLimit)
  if (line === undefined) return undefined
  const tags = new Map<string, string>()
  const ranges = new Set<string>()
  for (const word of line.split(' ').slice(1)) {
    if (word.startsWith('XCOLORRANGE=')) ranges.add(word.slice('XCOLORRANGE='.length))
    else if (word !== '' && !word.startsWith('X')) tags.set(word[0]!, word.slice(1))
  }
  const size = { width: integer(tags.get('W'), 'width'), height: integer(tags.get('H'), 'height') }
  checkSize(size, 'Y4M header')
  const layout = tags.get('C') ?? '420jpeg'
  const chroma = layouts.get(layout)
  if (!chroma)
    throw new TypeError(
      `Y4M: colour layout C${printable(layout)} is not among ${[...layouts.keys()].join(', ')}`,
    )
  return {
    header: {
      ...size,
      rate: parseRate(tags.get('F')),
      chroma,
      range: ranges.has('FULL') ? 'full' : 'limited',
    },
    byteLength: line.length + 1,
  }
}

/** Length of a `FRAME` line with its newline; undefined when more bytes are needed. */
export function parseFrameHeader(bytes: Uint8Array): number | undefined {
  const line = takeLine(bytes, 'FRAME', headerLimit)
  return line === undefined ? undefined : line.length + 1
}

/** Bytes of one frame's planes, without its `FRAME` line. */
export function frameDataBytes(header: Y4mHeader): number {
  return planesBytes(header, header.chroma)
}

export function formatHeader({ width, height, rate, chroma, range }: Y4mHeader): Uint8Array {
  const colours = range === 'full' ? ' XCOLORRANGE=FULL' : ' XCOLORRANGE=LIMITED'
  return ascii(`${MAGIC} W${width} H${height} F${rate.join(':')} Ip A1:1 C${chroma}${colours}\n`)
}

export function formatFrameHeader(): Uint8Array {
  return ascii('FRAME\n')
}

function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'))
}

/** The line without its newline. Refuses it as soon as it is clear that it does not begin with `word`. */
function takeLine(bytes: Uint8Array, word: string, limit: number): string | undefined {
  const end = bytes.subarray(0, limit).indexOf(NEWLINE)
  const length = end === -1 ? Math.min(bytes.byteLength, limit) : end
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1')
  const begin = line.slice(0, word.length + 1)
  const whole = end !== -1
  if (whole ? begin !== word && begin !== `${word} ` : !`${word} `.startsWith(begin)) {
    throw new TypeError(`Y4M: ${word} expected, but there is ${printable(line)}`)
  }
  if (!whole && bytes.byteLength >= limit)
    throw new RangeError(`Y4M: ${word} line of more than ${limit} bytes`)
  return whole ? line : undefined
}

function integer(text: string | undefined, what: string): number {
  if (text === undefined || !/^\d{1,9}$/.test(text)) {
    throw new TypeError(`Y4M: ${what} is ${text === undefined ? 'missing' : `no number: ${printable(text)}`}`)
  }
  return Number(text)
}

/** `F0:0` means unknown; then 25 frames per second are as good as any. */
function parseRate(text = '25:1'): [number, number] {
  const [, over = '', under = ''] = /^(\d{1,9}):(\d{1,9})$/.exec(text) ?? []
  if (over === '') throw new TypeError(`Y4M: frame rate is no ratio: ${printable(text)}`)
  return Number(over) > 0 && Number(under) > 0 ? [Number(over), Number(under)] : [25, 1]
}

/** What came from a file may hold anything, also what a terminal would obey. */
function printable(text: string): string {
  return JSON.stringify(text.slice(0, 24)).replace(/[^\x20-\x7e]/g, '?')
}
