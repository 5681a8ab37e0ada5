import { bytes } from './lib/table.ts'
import { copyingPeers } from './peers/index.ts'
import type { Aim, BracketFigures, Figures, Measurement } from './types.ts'

/** All aims are for one core: across cores the wake-up of a sleeping core hides what a hand-over costs. */
const PLACEMENT = 'same'

type Look = (peer: string, size: number) => Figures | undefined

function ratio(over: number | undefined, under: number | undefined): number | null {
  return over === undefined || under === undefined ? null : over / under
}

function atMost(aim: string, limit: number, unit: string, measured: number | null): Aim {
  return { aim, limit: `<= ${limit}${unit}`, measured, pass: measured === null ? null : measured <= limit }
}

function atLeast(aim: string, limit: number, measured: number | null): Aim {
  return { aim, limit: `>= ${limit}x`, measured, pass: measured === null ? null : measured >= limit }
}

function frameRates(look: Look, size: number): Aim[] {
  const ours = look('ours', size)?.page?.framesPerSecond
  return copyingPeers.map((peer) => {
    const [limit, what] = peer === 'shm-typed-array' ? [35, 'shm-typed-array with a copy'] : [60, peer]
    const theirs = look(peer, size)?.page?.framesPerSecond
    return atLeast(
      `frames per second of ${bytes(size)}, touched once per page, to ${what}`,
      limit,
      ratio(ours, theirs),
    )
  })
}

/** What the library promises, against what was measured. */
export function aims(
  measurements: readonly Measurement[],
  bracket: Readonly<Record<string, BracketFigures>> | null,
): Aim[] {
  const look: Look = (peer, size) =>
    measurements.find((m) => m.peer === peer && m.size === size && m.placement === PLACEMENT)?.figures
  const sizes = [...new Set(measurements.map(({ size }) => size))].sort((a, b) => a - b)
  const [small = 0, big = 0] = [sizes[0], sizes.at(-1)]
  const ours = look('ours', small)
  const floor = look('floor', small)
  const nanos = [bracket?.['read']?.medianNs, bracket?.['write']?.medianNs].filter((ns) => ns !== undefined)
  const bracketMicros = nanos.length === 0 ? null : Math.max(...nanos) / 1000
  return [
    atMost(
      `round trip handing over ${bytes(big)} to one handing over ${bytes(small)}`,
      1.5,
      'x',
      small === big ? null : ratio(look('ours', big)?.handover?.median, ours?.handover?.median),
    ),
    atMost(
      'round trip naming a known buffer to the C program passing a descriptor',
      2.5,
      'x',
      ratio(ours?.handover?.median, floor?.handover?.median),
    ),
    atMost(
      'round trip with a new buffer each time to the C program doing so',
      5,
      'x',
      ratio(ours?.new?.median, floor?.new?.median),
    ),
    atMost('beginCpuAccessSync and end, the slower of read and write', 0.1, ' us', bracketMicros),
    ...frameRates(look, big),
  ]
}
