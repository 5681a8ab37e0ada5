/** `npm run bench`: dmabuf beside what it competes with, in one run on this machine. See options.ts. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { aims } from './aims.ts'
import { crossover, point } from './crossover.ts'
import { aggregate } from './lib/aggregate.ts'
import { facts } from './lib/facts.ts'
import { FRAME_4K, GUARDED, MOVED } from './lib/frames.ts'
import { ensurePackages } from './lib/packages.ts'
import { coresFor, type Placement } from './lib/pin.ts'
import { Runner } from './lib/runner.ts'
import { type Options, parseOptions, usage } from './options.ts'
import { compileFloor } from './peers/floor.ts'
import { peers } from './peers/index.ts'
import { report } from './report.ts'
import type { Cores, Crossover, Figures, Measurement, Micro, Part, Results } from './types.ts'

const SERIES = [
  64,
  1 << 10,
  4 << 10,
  16 << 10,
  64 << 10,
  256 << 10,
  1 << 20,
  2 << 20,
  4 << 20,
  8 << 20,
  FRAME_4K,
]

/** The peers that can run here; why the others can't goes to `missing`. */
function prepare({ peers: wanted }: Options, missing: string[]): string[] {
  const needs = wanted.map((name) => peers[name]?.needs).filter((name) => name !== undefined)
  const failed = ensurePackages(needs)
  if (wanted.includes('floor')) {
    try {
      compileFloor()
    } catch (error) {
      failed.set('floor', `cc could not compile bench/floor.c: ${error}`)
    }
  }
  for (const [name, why] of failed) missing.push(`${name}: ${why}`)
  return wanted.filter((name) => !failed.has(name))
}

function placements(options: Options, missing: string[]): Map<Placement, Cores> {
  const found = new Map<Placement, Cores>()
  for (const placement of options.placements) {
    const cores = coresFor(placement)
    if (cores) found.set(placement, cores)
    else missing.push(`${placement} cores: this process may use one core only`)
  }
  return found
}

async function matrix(
  options: Options,
  names: readonly string[],
  cores: Map<Placement, Cores>,
  runner: Runner,
) {
  const cells = [...cores].flatMap(([placement, pair]) =>
    options.sizes.flatMap((size) =>
      names.map((peer) => ({ peer, size, placement, pair, rounds: [] as Figures[] })),
    ),
  )
  const smallest = Math.min(...options.sizes)
  // Round by round, so that a disturbance of some seconds meets one round of a peer and not all of them.
  for (let round = 1; round <= options.rounds; round++) {
    console.error(`Round ${round} of ${options.rounds}`)
    for (const { peer, size, pair, rounds } of cells) {
      const parts: Part[] = ['handover', 'page', 'all']
      if (!peers[peer]!.copies && size === smallest) parts.push('new')
      if (round === options.rounds) parts.push('memory')
      const figures = await runner.run(peer, size, pair, parts)
      if (figures) rounds.push(figures)
    }
  }
  return cells
    .filter(({ rounds }) => rounds.length > 0)
    .map(
      ({ peer, size, placement, rounds }): Measurement => ({
        peer,
        size,
        placement,
        figures: aggregate(rounds),
      }),
    )
}

async function series(
  options: Options,
  names: readonly string[],
  cores: Cores,
  runner: Runner,
): Promise<Crossover> {
  console.error('The series of sizes')
  const biggest = Math.max(...options.sizes)
  const compared = names.filter((name) => name === 'ours' || peers[name]!.copies)
  const points = []
  for (const size of SERIES.filter((size) => size <= biggest)) {
    const figures = new Map<string, Figures>()
    for (const peer of compared) {
      const found = await runner.run(peer, size, cores, ['handover', 'page'])
      if (found) figures.set(peer, found)
    }
    points.push(point(size, figures))
  }
  return crossover(points)
}

/** What one of the scripts in micro/ finds, in a process of its own; null when it fails. */
async function micro<Found>(name: string, ...args: number[]): Promise<Found | null> {
  console.error(`One process: ${name}`)
  const child = fork(fileURLToPath(new URL(`micro/${name}.ts`, import.meta.url)), args.map(String))
  let figures: Found | null = null
  child.on('message', (message) => {
    figures = message as Found
  })
  await once(child, 'close')
  return figures
}

const nothing: Micro = {
  bracket: null,
  wakeups: null,
  guards: null,
  cleaning: null,
  moves: null,
  devices: null,
}

/** All scripts in micro/, one after the other. */
async function micros({ seconds, most }: Options): Promise<Micro> {
  const { consumer: core } = coresFor('same')!
  const two = coresFor('different') ?? coresFor('same')!
  return {
    bracket: await micro('bracket', core, seconds),
    wakeups: await micro('fences', two.producer, two.consumer, seconds),
    guards: await micro('guard', core, seconds, GUARDED),
    cleaning: await micro('cache'),
    moves: await micro('move', core, seconds, MOVED),
    devices: await micro('devices', core, seconds, most),
  }
}

function write(results: Results, file: string | undefined): string {
  const name = `results/${results.facts.date.replaceAll(':', '-')}.json`
  const path = file ? resolve(file) : fileURLToPath(new URL(name, import.meta.url))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
  return path
}

async function main(options: Options): Promise<void> {
  const missing: string[] = []
  const about = facts()
  const names = prepare(options, missing)
  const cores = placements(options, missing)
  const runner = new Runner(options)
  const one = coresFor('same')!
  const measurements = await matrix(options, names, cores, runner)
  const { rounds, seconds, frames = null } = options
  const found = names.includes('ours') ? await micros(options) : nothing
  const sizes =
    options.crossover && names.includes('ours') && names.some((name) => peers[name]!.copies)
      ? await series(options, names, one, new Runner({ ...options, seconds: Math.min(options.seconds, 0.3) }))
      : null
  const results: Results = {
    facts: about,
    settings: { rounds, seconds, frames },
    cores: Object.fromEntries(cores),
    measurements,
    missing: [...missing, ...runner.missing],
    ...found,
    crossover: sizes,
    aims: aims(measurements, found),
  }
  console.log(report(results))
  console.log(`\nFigures in ${write(results, options.json)}`)
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options) await main(options)
  else console.log(usage)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  console.error(`\n${usage}`)
  process.exitCode = 1
}
