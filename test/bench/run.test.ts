import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { Results } from '../../bench/types.ts'

const main = fileURLToPath(new URL('../../bench/main.ts', import.meta.url))

const micros = { median: expect.any(Number), p99: expect.any(Number), count: expect.any(Number) }

// No figure is compared with another: a test must not depend on how fast the machine is.
test('a short run prints its tables and writes every figure that it was asked for', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dmabuf-bench-test-'))
  try {
    const file = join(folder, 'figures.json')
    const args = '--quick --frames 3 --peers ours,child-ipc --sizes 64,100000 --cores same'.split(' ')
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', main, ...args, '--json', file],
      { timeout: 100_000 },
    )
    const results = JSON.parse(await readFile(file, 'utf8')) as Results

    expect(results.missing).toEqual([])
    expect(results.facts).toMatchObject({ cpu: expect.any(String), node: process.version })
    expect(results.settings).toEqual({ rounds: 1, seconds: 0.1, frames: 3 })
    expect(results.measurements.map(({ peer, size, placement }) => [peer, size, placement])).toEqual([
      ['ours', 64, 'same'],
      ['child-ipc', 64, 'same'],
      ['ours', 100_000, 'same'],
      ['child-ipc', 100_000, 'same'],
    ])
    const trip = { median: expect.any(Number), p99: expect.any(Number), count: 3 }
    const frames = { framesPerSecond: expect.any(Number), cpuMillis: expect.any(Number), frames: 3 }
    for (const { peer, size, figures } of results.measurements) {
      expect(figures).toEqual({
        handover: trip,
        page: frames,
        all: frames,
        memory: {
          peakRssMiB: expect.any(Number),
          peakPssMiB: expect.any(Number),
          idlePssMiB: expect.any(Number),
        },
        ...(peer === 'ours' && size === 64 && { new: trip }),
      })
      expect(figures.memory?.peakPssMiB).toBeGreaterThan(1)
    }
    expect(Object.keys(results.bracket ?? {})).toEqual([
      'read',
      'write',
      'readAndLook',
      'readAwaited',
      'writeAwaited',
    ])
    expect(results.wakeups).toMatchObject({ eventfd: micros, fence: micros, times: expect.any(Number) })
    const guarded = { off: micros, on: micros, withoutStacks: micros, filled: micros, filledOff: micros }
    expect(results.guards).toEqual({
      size: 24 << 20,
      off: { neverNs: expect.any(Number), offAgainNs: expect.any(Number), times: expect.any(Number) },
      small: guarded,
      transparent: guarded,
    })
    const way = { best: expect.any(Number), median: expect.any(Number) }
    expect(results.cleaning?.signatures).toMatchObject({ copy: way, 'clean, 1 % dirty, scattered': way })
    expect(Object.values(results.cleaning?.others ?? {})).toContainEqual(way)
    expect(results.crossover?.points.map(({ size }) => size)).toEqual([64, 1024, 4096, 16_384, 65_536])
    expect(results.moves).toEqual({
      size: 24 << 20,
      copy: micros,
      prepared: micros,
      fresh: micros,
      takeOver: micros,
    })
    const costs = {
      attach: micros,
      map: micros,
      mapCold: micros,
      mapCached: micros,
      export: micros,
      move: micros,
    }
    const series = (...of: number[]) => of.map((one) => ({ of: one, costs }))
    expect(results.devices).toEqual({
      sizes: series(128 << 10, 1 << 20, 8 << 20, 24 << 20),
      buffers: series(1, 10, 100),
      attachments: series(1, 10, 100),
    })
    expect(results.aims).toHaveLength(15)
    const [tables] = stdout.split('Figures in')
    for (const line of tables!.split('\n')) expect(line.length).toBeLessThanOrEqual(110)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}, 120_000)
