import { parseArgs } from 'node:util'
import { FRAME_4K } from './lib/frames.ts'
import type { Placement } from './lib/pin.ts'
import { peers } from './peers/index.ts'

export interface Options {
  readonly peers: readonly string[]
  readonly sizes: readonly number[]
  readonly placements: readonly Placement[]
  readonly rounds: number
  readonly seconds: number
  readonly frames: number | undefined
  /** The most buffers, and attachments of one buffer, among which a device's operations are measured. */
  readonly most: number
  readonly crossover: boolean
  readonly json: string | undefined
}

export const usage = `npm run bench -- [options]
  --quick            one short round of everything: to see that it runs, not to be quoted
  --peers A,B        only these: ${Object.keys(peers).join(', ')}
  --sizes N,M        bytes of a frame (default 64, 8388608 and ${FRAME_4K}, which is 4K RGBA)
  --cores WHICH      same, different or both (default)
  --rounds N         rounds of the whole, of which the median counts (default 3)
  --seconds N        time for each single figure (default 1)
  --frames N         a fixed count of frames and round trips instead
  --no-crossover     without the series of sizes
  --json FILE        where to write the figures (default bench/results/<time>.json)`

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not ${text}`)
  return value
}

function oneOf<T extends string>(name: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text)
  if (found === undefined) throw new Error(`--${name} must be one of ${allowed.join(', ')}, not ${text}`)
  return found
}

function whole(name: string, text: string): number {
  const value = positive(name, text)
  if (!Number.isSafeInteger(value)) throw new Error(`--${name} must be a whole number, not ${text}`)
  return value
}

/** Undefined when only the usage was asked for; throws an Error with a plain sentence for a wrong option. */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      peers: { type: 'string' },
      sizes: { type: 'string' },
      cores: { type: 'string', default: 'both' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      frames: { type: 'string' },
      'no-crossover': { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const cores = oneOf('cores', values.cores, ['same', 'different', 'both'])
  const sizes = values.sizes?.split(',').map((text) => whole('sizes', text))
  if (sizes?.some((size) => size < 4)) throw new Error('--sizes must be 4 bytes or more')
  return {
    peers:
      values.peers?.split(',').map((name) => oneOf('peers', name, Object.keys(peers))) ?? Object.keys(peers),
    sizes: sizes ?? [64, 8 << 20, FRAME_4K],
    placements: cores === 'both' ? ['same', 'different'] : [cores],
    rounds: values.rounds ? whole('rounds', values.rounds) : values.quick ? 1 : 3,
    seconds: values.seconds ? positive('seconds', values.seconds) : values.quick ? 0.1 : 1,
    frames: values.frames ? whole('frames', values.frames) : undefined,
    most: values.quick ? 100 : 10_000,
    crossover: !values['no-crossover'],
    json: values.json,
  }
}
