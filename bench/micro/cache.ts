/**
 * `cache.ts`: how to find the dirty lines of a view. Cleans 33 MiB of which one line in a hundred is dirty, by the compare that
 * the library uses; beside it a plain copy, page protection and soft-dirty bits (bench/page-protection.c). Microseconds of processor time,
 * the best of several rounds: what else the machine does only adds to them.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheLayout } from '../../src/memory/cache/layout.ts'
import { addon } from '../../src/native/load.ts'

const BYTES = 33 << 20
const LINE = 64
const ROUNDS = 25

const native = addon()
const layout = cacheLayout(BYTES, LINE, native.pageSize)
const fd = native.memfdCreate('bench', 0)
native.allocate(fd, layout.total)
const file = native.map(fd, 0, layout.total, 0)
if (typeof file === 'number') throw new Error(`map: ${file}`)
file.populate(true)
const bytes = new Uint8Array(file.view() as ArrayBuffer)

function timed(prepare: (round: number) => void, once: () => void): number {
  const samples: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    prepare(round)
    const from = process.cpuUsage()
    once()
    const { user, system } = process.cpuUsage(from)
    samples.push(user + system)
  }
  return Math.round(Math.min(...samples))
}

function store(round: number, scattered: boolean): void {
  for (let i = 0; i < layout.lines / 100; i++) {
    bytes[(scattered ? (i * 7919 * 13) % layout.lines : i) * LINE] = round + 1
  }
}

const clean = () => native.cleanLines(file, layout.region, LINE, 0, layout.lines)
const figures: Record<string, number> = {
  copy: timed(
    () => {},
    () => native.copyMapping(file, 0, file, layout.memory, BYTES),
  ),
  'compare-together': timed((round) => store(round, false), clean),
  'compare-scattered': timed((round) => store(round, true), clean),
}

const folder = mkdtempSync(join(tmpdir(), 'dmabuf-bench-'))
const program = join(folder, 'page-protection')
const source = fileURLToPath(new URL('../page-protection.c', import.meta.url))
execFileSync('cc', ['-O2', '-o', program, source])
for (const line of execFileSync(program, { encoding: 'utf8' }).trim().split('\n')) {
  const [name = '', micros = ''] = line.split(' ')
  figures[name] = Number(micros)
}
rmSync(folder, { recursive: true })
file.close()
native.close(fd)
if (process.send === undefined) console.log(JSON.stringify(figures))
else process.send(figures)
