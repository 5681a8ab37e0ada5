/**
 * `cache.ts`: what it costs to clean a view of 33 MiB, by how much of it is dirty, beside a copy of as much. The library's way,
 * a signature for each line, is measured in this process; in one of its own (bench/page-protection.c) are the ways that were
 * not chosen: a twin of the cache, page protection, soft-dirty bits. Microseconds of processor time; everything in turns, in
 * each round. Alone it prints a table.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheLayout } from '../../src/memory/cache/layout.ts'
import { addon } from '../../src/native/load.ts'

/** Microseconds. */
interface Figure {
  readonly best: number
  readonly median: number
}

const BYTES = 33 << 20
const LINE = 64
const ROUNDS = 41

function signatures(): Record<string, Figure> {
  const native = addon()
  const layout = cacheLayout(BYTES, LINE, native.pageSize)
  const fd = native.memfdCreate('bench', 0)
  native.allocate(fd, layout.total)
  const file = native.map(fd, 0, layout.total, 0)
  if (typeof file === 'number') throw new Error(`map: ${file}`)
  file.populate(true)
  const bytes = new Uint8Array(file.view() as ArrayBuffer)
  const clean = () => native.cleanLines(file, layout.region, LINE, 0, layout.lines)
  const copy = () => native.copyMapping(file, 0, file, layout.memory, BYTES)

  /** Stores into so many lines, side by side or all over the view. */
  const store = (lines: number, step: number, round: number) => {
    for (let i = 0; i < lines; i++) bytes[((i * step) % layout.lines) * LINE] = round + 1
  }
  const few = layout.lines / 100
  const cases: Record<string, [prepare: (round: number) => void, once: () => void]> = {
    copy: [() => {}, copy],
    'clean, nothing dirty': [() => {}, clean],
    'clean, 1 % dirty, together': [(round) => store(few, 1, round), clean],
    'clean, 1 % dirty, scattered': [(round) => store(few, 7919 * 13, round), clean],
    'clean, all dirty': [(round) => store(layout.lines, 1, round), clean],
  }
  const samples = Object.keys(cases).map(() => [] as number[])
  for (let round = 0; round < ROUNDS; round++) {
    Object.values(cases).forEach(([prepare, once], index) => {
      prepare(round)
      const from = process.cpuUsage()
      once()
      const { user, system } = process.cpuUsage(from)
      samples[index]?.push(user + system)
      clean()
    })
  }
  file.close()
  native.close(fd)
  return Object.fromEntries(Object.keys(cases).map((name, index) => [name, figure(samples[index] ?? [])]))
}

function figure(samples: readonly number[]): Figure {
  const sorted = samples.toSorted((a, b) => a - b)
  return { best: sorted[0] ?? 0, median: sorted[sorted.length >> 1] ?? 0 }
}

/** One line for each: best, median, name. */
function others(): Record<string, Figure> {
  const folder = mkdtempSync(join(tmpdir(), 'dmabuf-bench-'))
  try {
    const program = join(folder, 'page-protection')
    const source = fileURLToPath(new URL('../page-protection.c', import.meta.url))
    execFileSync('cc', ['-O2', '-o', program, source])
    const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n')
    return Object.fromEntries(
      lines.map((line) => {
        const [best, median, ...name] = line.split(' ')
        return [name.join(' '), { best: Number(best), median: Number(median) }]
      }),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function table(title: string, figures: Record<string, Figure>): string {
  const { copy } = figures
  const rows = Object.entries(figures).map(([name, { best, median }]) => {
    const ratio = (value: number, of: number | undefined) => `${(value / (of ?? value)).toFixed(2)} copies`
    const times = [best, median].map((value) => `${(value / 1000).toFixed(2)} ms`.padStart(9))
    const ratios = [ratio(best, copy?.best), ratio(median, copy?.median)]
    return `  ${name.padEnd(38)}${times[0]}  ${ratios[0]}${times[1]}  ${ratios[1]}`
  })
  return [title.padEnd(40) + 'best'.padStart(9) + 'median'.padStart(22), ...rows].join('\n')
}

const figures = { signatures: signatures(), others: others() }
if (process.send !== undefined) process.send(figures)
else {
  console.log(table('33 MiB, a signature for each line', figures.signatures))
  console.log(table('not chosen', figures.others))
}
