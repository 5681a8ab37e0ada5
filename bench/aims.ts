import { CLEANED, GUARDED, MOVED } from './lib/frames.ts'
import { bytes } from './lib/table.ts'
import { copyingPeers } from './peers/index.ts'
import type { Aim, Figures, Measurement, Micro } from './types.ts'

/**
 * All aims but that of fences are for one core: across cores the wake-up of a sleeping core hides what a hand-over costs. What
 * waits for a fence is another core, by its nature.
 */
const PLACEMENT = 'same'

type Look = (peer: string, size: number) => Figures | undefined

function ratio(over: number | undefined, under: number | undefined): number | null {
  return over === undefined || under === undefined ? null : over / under
}

interface Found {
  readonly measured: number | null
  readonly floor: number | null
}

function atMost(aim: string, limit: number, unit: string, { measured, floor }: Found): Aim {
  return {
    aim,
    limit: `<= ${limit}${unit}`,
    measured,
    floor,
    pass: measured === null ? null : measured <= limit,
  }
}

function atLeast(aim: string, limit: number, { measured, floor }: Found): Aim {
  return { aim, limit: `>= ${limit}x`, measured, floor, pass: measured === null ? null : measured >= limit }
}

function frameRates(look: Look, size: number): Aim[] {
  const rate = (peer: string) => look(peer, size)?.page?.framesPerSecond
  return copyingPeers.map((peer) => {
    const [limit, what] = peer === 'shm-typed-array' ? [35, 'shm-typed-array with a copy'] : [60, peer]
    return atLeast(`frames/s of ${bytes(size)}, one word per page, to ${what}`, limit, {
      measured: ratio(rate('ours'), rate(peer)),
      floor: ratio(rate('floor'), rate(peer)),
    })
  })
}

/** What the library promises, against what was measured. */
export function aims(
  measurements: readonly Measurement[],
  { bracket, moves, wakeups, guards, cleaning }: Omit<Micro, 'devices'>,
): Aim[] {
  const look: Look = (peer, size) =>
    measurements.find((m) => m.peer === peer && m.size === size && m.placement === PLACEMENT)?.figures
  const sizes = [...new Set(measurements.map(({ size }) => size))].sort((a, b) => a - b)
  const [small = 0, big = 0] = [sizes[0], sizes.at(-1)]
  const ours = look('ours', small)
  const floor = look('floor', small)
  const growth = (peer: string) =>
    small === big ? null : ratio(look(peer, big)?.handover?.median, look(peer, small)?.handover?.median)
  return [
    atMost(`round trip handing over ${bytes(big)} to one handing over ${bytes(small)}`, 1.5, 'x', {
      measured: growth('ours'),
      floor: growth('floor'),
    }),
    atMost(`round trip naming a known buffer of ${bytes(small)} to C passing a descriptor`, 2.5, 'x', {
      measured: ratio(ours?.handover?.median, floor?.handover?.median),
      floor: floor?.handover ? 1 : null,
    }),
    atMost(`round trip with a new buffer of ${bytes(small)} each time to C doing so`, 5, 'x', {
      measured: ratio(ours?.new?.median, floor?.new?.median),
      floor: floor?.new ? 1 : null,
    }),
    atMost('beginCpuAccessSync and end, the slower of read and write', 0.1, ' us', {
      measured: bracket && Math.max(bracket.read.medianNs, bracket.write.medianNs) / 1000,
      floor: null,
    }),
    atMost('await beginCpuAccess and end, the slower of read and write', 0.3, ' us', {
      measured: bracket && Math.max(bracket.readAwaited.medianNs, bracket.writeAwaited.medianNs) / 1000,
      floor: null,
    }),
    atMost('from the signal of a fence to its waiter in another process, to eventfds', 2, 'x', {
      measured: wakeups?.times ?? null,
      floor: wakeups && 1,
    }),
    atMost(`guarded bracket of ${bytes(guards?.size ?? GUARDED)}`, 500, ' us', {
      measured: guards?.small.on.median ?? null,
      floor: null,
    }),
    atMost('bracket with the guard off again, to one that never had it', 1.1, 'x', {
      measured: guards?.off.times ?? null,
      floor: null,
    }),
    atMost(`cleaning ${bytes(CLEANED)} with 1 % dirty lines, scattered, to a copy of as much`, 1, 'x', {
      measured: ratio(
        cleaning?.signatures['clean, 1 % dirty, scattered']?.median,
        cleaning?.signatures['copy']?.median,
      ),
      floor: null,
    }),
    ...frameRates(look, big),
    ...(
      [
        ['prepared', 'storage that was made ready', 1.3],
        ['fresh', 'new storage', 2],
      ] as const
    ).map(([kind, what, limit]) =>
      atMost(`map that moves ${bytes(MOVED)} into ${what}, to a copy of as much`, limit, 'x', {
        measured: ratio(moves?.[kind].median, moves?.copy.median),
        floor: null,
      }),
    ),
  ]
}
