import { bestCopying, less, more } from './crossover.ts'
import { bytes, figure, table } from './lib/table.ts'
import { OURS, peers } from './peers/index.ts'
import type { Aim, Crossover, Measurement, Results } from './types.ts'

function machine({ facts }: Results): string {
  return Object.entries(facts)
    .map(([key, value]) => `  ${key.padEnd(12)} ${value}`)
    .join('\n')
}

function row({ peer, figures }: Measurement): string[] {
  const { handover, page, all, memory } = figures
  return [
    `  ${peer}`,
    figure(handover?.median),
    figure(handover?.p99),
    figure(page?.framesPerSecond),
    figure(page?.cpuMillis),
    figure(all?.framesPerSecond),
    figure(all?.cpuMillis),
    figure(memory?.peakRssMiB),
    figure(memory?.peakPssMiB),
    figure(memory?.idlePssMiB || undefined),
  ]
}

const head = [
  '',
  'trip us',
  'p99 us',
  'page f/s',
  'cpu ms/f',
  'all f/s',
  'cpu ms/f',
  'RSS MiB',
  'PSS MiB',
  'idle',
]

function matrix(results: Results, placement: string): string {
  const cores = results.cores[placement]
  const title =
    placement === 'same'
      ? `Both processes on core ${cores?.consumer}`
      : `Producer on core ${cores?.producer}, consumer on core ${cores?.consumer}`
  const own = results.measurements.filter((m) => m.placement === placement)
  const sizes = [...new Set(own.map(({ size }) => size))]
  const rows = sizes.flatMap((size) => [[bytes(size)], ...own.filter((m) => m.size === size).map(row)])
  return `${title}\n\n${table(head, rows)}`
}

const legend = `  trip      round trip: the frame there, the word that the consumer read back
  page/all  frames per second, the consumer reading one word of every page / every word; the producer
            writes one word of the frame, ours and the floor in the shared buffer, the others in their own
  cpu       user and system time of both processes for each frame
  RSS/PSS   highest sums over both processes; PSS counts a shared page once; idle: PSS before the first frame`

function newTrips(measurements: readonly Measurement[]): string {
  const rows = measurements
    .filter(({ figures }) => figures.new !== undefined)
    .map(({ peer, size, placement, figures }) => [
      `  ${peer}, ${placement === 'same' ? 'one core' : 'two cores'}, ${bytes(size)}`,
      figure(figures.new?.median),
      figure(figures.new?.p99),
    ])
  return `Round trip with a new buffer each time\n\n${table(['', 'trip us', 'p99 us'], rows)}`
}

function brackets(bracket: NonNullable<Results['bracket']>): string {
  const rows = (
    [
      ['read', bracket.read],
      ['write', bracket.write],
      ['read and look', bracket.readAndLook],
    ] as const
  ).map(([name, { medianNs, p99Ns }]) => [`  ${name}`, figure(medianNs), figure(p99Ns)])
  return `One bracket: beginCpuAccessSync and end\n\n${table(['', 'ns', 'p99 ns'], rows)}`
}

function series({ points, framesFrom, roundTripFrom }: Crossover): string {
  const rows = points.map(({ size, framesPerSecond, roundTripMicros }) => {
    const byFrames = bestCopying(framesPerSecond, more)
    const byTrip = bestCopying(roundTripMicros, less)
    return [
      bytes(size),
      figure(framesPerSecond[OURS]),
      figure(byFrames === undefined ? undefined : framesPerSecond[byFrames]),
      byFrames ?? '-',
      figure(roundTripMicros[OURS]),
      figure(byTrip === undefined ? undefined : roundTripMicros[byTrip]),
      byTrip ?? '-',
    ]
  })
  const said = (what: string, size: number | null) =>
    size === null
      ? `  ${what}: ours is not ahead at the biggest size measured`
      : `  ${what}: ours is ahead of every copying peer from ${bytes(size)} on`
  return [
    'Where sharing begins to pay (one core, one word of every page)',
    '',
    table(['', 'ours f/s', 'best copy', 'by', 'ours us', 'best copy', 'by'], rows),
    '',
    said('frames per second', framesFrom),
    said('round trip', roundTripFrom),
  ].join('\n')
}

function aimTable(aims: readonly Aim[]): string {
  const rows = aims.map(({ aim, limit, measured, floor, pass }) => [
    `  ${pass === null ? 'none' : pass ? 'pass' : 'FAIL'}`,
    figure(measured ?? undefined),
    limit,
    figure(floor ?? undefined),
    // The last column is text, and text is read from the left.
    aim.padEnd(Math.max(...aims.map((other) => other.aim.length))),
  ])
  return table(['', 'ours', 'aim', 'in C', ''], rows)
}

/** Everything in plain text, no line wider than 110 columns. */
export function report(results: Results): string {
  const { measurements, missing, bracket, crossover, aims } = results
  const names = [...new Set(measurements.map(({ peer }) => peer))]
  return [
    `Machine\n\n${machine(results)}`,
    `Peers\n\n${names.map((name) => `  ${name.padEnd(16)} ${peers[name]?.does ?? ''}`).join('\n')}`,
    ...Object.keys(results.cores).map((placement) => matrix(results, placement)),
    legend,
    ...(measurements.some(({ figures }) => figures.new) ? [newTrips(measurements)] : []),
    ...(bracket ? [brackets(bracket)] : []),
    ...(crossover ? [series(crossover)] : []),
    ...(missing.length > 0 ? [`Not measured\n\n${missing.map((text) => `  ${text}`).join('\n')}`] : []),
    `Aims (one core)\n\n${aimTable(aims)}`,
  ].join('\n\n')
}
