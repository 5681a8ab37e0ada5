import { open, readFile, stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { planesToRgba } from './colour.ts'
import { type Film, frameBytes, type Size } from './picture.ts'
import { pngFileLimit, readPng } from './png.ts'
import { drawTestCard } from './test-card.ts'
import { frameDataBytes, headerLimit, parseFrameHeader, parseHeader } from './y4m.ts'

/** Puts one frame's pixels into the bytes it is given. */
export type Draw = (bytes: Uint8Array) => void

/** Where frames come from. */
export interface Input extends AsyncDisposable {
  readonly film: Film
  /** Bytes of a frame that come out of a file; a drawn frame has none. */
  readonly fileBytes: number
  /** What draws the next frame; undefined after the last. */
  next(frame: number): Promise<Draw | undefined>
}

const STILL_FRAMES = 300

export async function openInput(path: string | null, size: Size): Promise<Input> {
  if (path === null) return testCard(size)
  const facts = await stat(path)
  // A pipe or a device could make us wait for ever.
  if (!facts.isFile()) throw new TypeError(`${path} is no regular file`)
  switch (extname(path).toLowerCase()) {
    case '.png':
      if (facts.size > pngFileLimit) throw new RangeError(`${path} is larger than ${pngFileLimit} bytes`)
      return still(path)
    case '.y4m':
      return y4m(path)
    default:
      throw new TypeError(`${path}: only .png and .y4m files are read`)
  }
}

function testCard(size: Size): Input {
  return {
    film: { ...size, frames: STILL_FRAMES, rate: [30, 1], chroma: '420jpeg' },
    fileBytes: 0,
    next: async (frame) => (bytes) => drawTestCard(bytes, size, frame),
    [Symbol.asyncDispose]: async () => {},
  }
}

async function still(path: string): Promise<Input> {
  const { width, height, rgba } = readPng(await readFile(path), path)
  return {
    film: { width, height, frames: STILL_FRAMES, rate: [30, 1], chroma: '444' },
    fileBytes: rgba.byteLength,
    next: async () => (bytes) => bytes.set(rgba),
    [Symbol.asyncDispose]: async () => {},
  }
}

async function y4m(path: string): Promise<Input> {
  const file = await open(path)
  try {
    const start = new Uint8Array(headerLimit)
    const { bytesRead } = await file.read(start, 0, headerLimit, 0)
    const parsed = parseHeader(start.subarray(0, bytesRead))
    if (!parsed) throw new TypeError(`${path} ends within its header`)
    const { header } = parsed
    const { width, height, rate, chroma, range } = header
    const planes = new Uint8Array(frameDataBytes(header))
    let position = parsed.byteLength
    return {
      film: { width, height, frames: null, rate, chroma },
      fileBytes: frameBytes(header),
      next: async (frame) => {
        const line = await file.read(start, 0, headerLimit, position)
        if (line.bytesRead === 0) return undefined
        const lineBytes = parseFrameHeader(start.subarray(0, line.bytesRead))
        const data = await file.read(planes, 0, planes.byteLength, position + (lineBytes ?? 0))
        if (lineBytes === undefined || data.bytesRead < planes.byteLength) {
          throw new TypeError(`${path} ends in the middle of frame ${frame}`)
        }
        position += lineBytes + planes.byteLength
        return (bytes) => planesToRgba(planes, bytes, header, chroma, range)
      },
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}
