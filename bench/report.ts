import { bestCopying, less, more } from './crossover.ts'
import { CLEANED } from './lib/frames.ts'
import { bytes, figure, table } from './lib/table.ts'
import { OURS, peers } from './peers/index.ts'
import type {
  Aim,
  Cleaning,
  CleaningWay,
  Crossover,
  DeviceSeries,
  Devices,
  Guards,
  Measurement,
  Moves,
  Results,
  Wakeups,
} from './types.ts'

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
      ['read, awaited', bracket.readAwaited],
      ['write, awaited', bracket.writeAwaited],
    ] as const
  ).map(([name, { medianNs, p99Ns }]) => [`  ${name}`, figure(medianNs), figure(p99Ns)])
  return `One bracket: beginCpuAccessSync and end; awaited: beginCpuAccess\n\n${table(['', 'ns', 'p99 ns'], rows)}`
}

function waking({ cores, eventfd, fence, times }: Wakeups): string {
  const rows = (
    [
      ['eventfds of two C programs', eventfd],
      ['fence: signal to the end of the await', fence],
    ] as const
  ).map(([name, { median, p99 }]) => [`  ${name}`, figure(median), figure(p99)])
  const title = `Waking another process, one way, on cores ${cores.producer} and ${cores.consumer}`
  const said = `  ${figure(times)} times as long, the median of turns in which both were measured`
  return `${title}\n\n${table(['', 'us', 'p99 us'], rows)}\n\n${said}`
}

function guarding({ size, off, small, transparent }: Guards): string {
  const rows = (
    [
      ['guard off', 'off'],
      ['guard on', 'on'],
      ['guard on, without stacks', 'withoutStacks'],
      ['guard on without stacks, filled', 'filled'],
      ['guard off, filled', 'filledOff'],
    ] as const
  ).map(([name, kind]) => [`  ${name}`, figure(small[kind].median), figure(transparent[kind].median)])
  const said = `  ${figure(off.neverNs)} ns where the guard was never on, ${figure(off.offAgainNs)} ns where it is off again`
  return `A bracket of ${bytes(size)}, in us\n\n${table(['', 'small pages', 'huge'], rows)}\n\n${said}`
}

function cleaningOf({ signatures, others }: Cleaning): string {
  const part = (title: string, way: CleaningWay) =>
    table(
      [title, 'cpu us', 'best', 'to copy'],
      Object.entries(way).map(([name, { best, median }]) => [
        `  ${name}`,
        ...[median, best, median / (way['copy']?.median ?? median)].map(figure),
      ]),
    )
  const parts = [part('a signature for each line', signatures), part('not chosen', others)]
  return [`Cleaning ${bytes(CLEANED)}`, ...parts].join('\n\n')
}

function moving({ size, copy, prepared, fresh, takeOver }: Moves): string {
  const rows = (
    [
      [`copy of ${bytes(size)} between buffers`, copy],
      ['map that moves it, storage made ready before', prepared],
      ['map that moves it, storage made by it', fresh],
      ['of which exchanging the pages under a view', takeOver],
    ] as const
  ).map(([name, { median, p99 }]) => [`  ${name}`, figure(median), figure(p99), figure(median / copy.median)])
  return `Moving a buffer\n\n${table(['', 'us', 'p99 us', 'to copy'], rows)}`
}

const operations = ['attach', 'map', 'mapCold', 'mapCached', 'export', 'move'] as const
const operationHead = ['attach', 'map', 'iommu', 'kept', 'export', 'move']

function device(title: string, label: (of: number) => string, points: DeviceSeries): string {
  const rows = points.map(({ of, costs }) => [
    `  ${label(of)}`,
    ...operations.map((name) => figure(costs[name].median)),
  ])
  const [first, last] = [points[0]?.costs, points.at(-1)?.costs]
  const growth = operations.map((name) => figure(first && last && last[name].median / first[name].median))
  return table([title, ...operationHead], [...rows, ['  last to first', ...growth]])
}

function devices({ sizes, buffers, attachments }: Devices): string {
  const count = (what: string) => (of: number) => `${of} ${what}${of === 1 ? '' : 's'}`
  return [
    'A device and a buffer, in us',
    device('by size', bytes, sizes),
    device('by buffers in the process', count('buffer'), buffers),
    device('by attachments of the buffer', count('attachment'), attachments),
    `  attach/map  with their inverse; map: its own addresses (looks at each run of pages), iommu: page tables made
              each time, kept: made once (expensiveMap); export: DmaBuf.export of a memfd; move: a map
              for which the buffer moves
  expected    by size: move is linear, the rest depends on runs of pages at most; by buffers: all flat;
              by attachments: all flat but for move, which asks every device what it needs`,
  ].join('\n\n')
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
  const { measurements, missing, bracket, wakeups, guards, cleaning, moves, crossover, aims } = results
  const names = [...new Set(measurements.map(({ peer }) => peer))]
  return [
    `Machine\n\n${machine(results)}`,
    `Peers\n\n${names.map((name) => `  ${name.padEnd(16)} ${peers[name]?.does ?? ''}`).join('\n')}`,
    ...Object.keys(results.cores).map((placement) => matrix(results, placement)),
    legend,
    ...(measurements.some(({ figures }) => figures.new) ? [newTrips(measurements)] : []),
    ...(bracket ? [brackets(bracket)] : []),
    ...(wakeups ? [waking(wakeups)] : []),
    ...(guards ? [guarding(guards)] : []),
    ...(cleaning ? [cleaningOf(cleaning)] : []),
    ...(moves ? [moving(moves)] : []),
    ...(results.devices ? [devices(results.devices)] : []),
    ...(crossover ? [series(crossover)] : []),
    ...(missing.length > 0 ? [`Not measured\n\n${missing.map((text) => `  ${text}`).join('\n')}`] : []),
    `Aims (one core, but for fences)\n\n${aimTable(aims)}`,
  ].join('\n\n')
}
