import { extname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { outputKinds } from './output.ts'
import { checkSize, type Size } from './picture.ts'

export const usage = `Usage: npm run demo [-- FILE] [-- options]

Three processes pass a moving picture through shared memory: a source makes it, a filter changes it, a sink
writes it to a file. No frame is copied between them.

  FILE               a .png or .y4m file; without it a test card is drawn
  --frames N         how many frames (default 300, or all of a .y4m file)
  --size WxH         size of the test card (default 1280x720)
  --fps N            frames per second (default: as fast as it goes)
  --second-buffer    the filter writes into a second buffer instead of changing frames in place
  --out FILE         .png for the last frame, .y4m for the whole film (default out/demo.png)
  --help             this text

Ctrl-C ends the film early; what was made until then is written.`

export type Options = {
  file: string | null
  size: Size
  frames: number | null
  fps: number | null
  secondBuffer: boolean
  out: string
}

/** A slip on the command line: shown with a hint, without a stack. */
export class UsageError extends Error {}

const DEFAULT_SIZE: Size = { width: 1280, height: 720 }
/** Below this the test card's lettering cannot be read. */
const SMALLEST_SIDE = 16
const MOST_FRAMES = 1_000_000
const HIGHEST_FPS = 1000

/** Undefined when help was asked for. */
export function parseOptions(args: string[]): Options | undefined {
  const { values, positionals } = parse(args)
  if (values.help) return undefined
  const [file = null, ...more] = positionals
  if (more.length > 0) throw new UsageError(`one FILE at most, not also ${more.join(' ')}`)
  if (file !== null && values.size !== undefined)
    throw new UsageError('--size is for the test card; FILE has its own')
  const out = resolve(values.out ?? 'out/demo.png')
  if (!outputKinds.includes(extname(out).toLowerCase())) {
    throw new UsageError(`--out must end in ${outputKinds.join(' or ')}: ${out}`)
  }
  return {
    file: file === null ? null : resolve(file),
    size: parseSize(values.size),
    frames: parseNumber('--frames', values.frames, MOST_FRAMES),
    fps: parseNumber('--fps', values.fps, HIGHEST_FPS),
    secondBuffer: values['second-buffer'] || values['filter-into-second'],
    out,
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        frames: { type: 'string' },
        size: { type: 'string' },
        fps: { type: 'string' },
        out: { type: 'string' },
        'second-buffer': { type: 'boolean', default: false },
        'filter-into-second': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function parseNumber(name: string, text: string | undefined, most: number): number | null {
  if (text === undefined) return null
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (number < 1 || number > most)
    throw new UsageError(`${name} takes a number from 1 to ${most}, not ${text}`)
  return number
}

function parseSize(text: string | undefined): Size {
  if (text === undefined) return DEFAULT_SIZE
  const [, width, height] = /^(\d{1,5})x(\d{1,5})$/.exec(text) ?? []
  const size = { width: Number(width), height: Number(height) }
  try {
    checkSize(size, '--size')
  } catch {
    throw new UsageError(`--size takes WIDTHxHEIGHT, like 1280x720, not ${text}`)
  }
  if (Math.min(size.width, size.height) < SMALLEST_SIDE)
    throw new UsageError(`--size: ${SMALLEST_SIDE}x${SMALLEST_SIDE} at least`)
  return size
}
