import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type CacheLayout, cacheLayout, cacheMemory } from '../../src/memory/cache/layout.ts'
import { NativeLines } from '../../src/memory/native-lines.ts'
import { MapKind, type Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import type { Cleaning } from '../children/cleaner.ts'
import { useCensus } from '../support/census.ts'
import { memfd, withFd } from '../support/descriptor.ts'

useCensus()

const script = fileURLToPath(new URL('../children/cleaner.ts', import.meta.url))
const BYTES = 8192

interface Shared {
  readonly fd: number
  readonly layout: CacheLayout
  readonly view: ArrayBuffer
  readonly lines: NativeLines
}

/** A new cache, and a page behind it by which its processes wait for one another. */
async function shared(lineSize: number, use: (shared: Shared) => Promise<void> | void): Promise<void> {
  const native = addon()
  const layout = cacheLayout(BYTES, lineSize, native.pageSize)
  const bytes = layout.total + native.pageSize
  await withFd(memfd(bytes), async (fd) => {
    const file = native.map(fd, 0, bytes, MapKind.shared) as Mapping
    const view = file.view() as ArrayBuffer
    try {
      await use({ fd, layout, view, lines: new NativeLines(cacheMemory(view, layout), file, 'shared') })
    } finally {
      file.close()
    }
  })
}

function start({ fd, layout }: Shared, side: number, sides: number, rounds: number, checks: boolean) {
  const { byteLength, lineSize } = layout
  const order: Cleaning = { side, sides, rounds, byteLength, lineSize, checks }
  return spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(order)], {
    stdio: ['ignore', 'inherit', 'inherit', fd],
  })
}

const codeOf = async (child: ChildProcess) => (await once(child, 'exit'))[0] as number | null

function sees({ view, layout }: Shared): { cache: Buffer; memory: Buffer; locks: Uint32Array } {
  const { cache, memory } = cacheMemory(view, layout)
  const locks = new Uint32Array(view, layout.locks, layout.region / 4096)
  return { cache: Buffer.from(cache), memory: Buffer.from(memory), locks }
}

for (const lineSize of [16, 64, 4096]) {
  test(`processes that clean and evict the same lines of ${lineSize} bytes while others store lose nothing`, async () => {
    await shared(lineSize, async (file) => {
      const sides = [0, 1, 2, 3].map((side) => start(file, side, 4, 20_000, true))
      expect(await Promise.all(sides.map(codeOf))).toEqual([0, 0, 0, 0])
      file.lines.clean(0, file.layout.lines)
      const { cache, memory, locks } = sees(file)
      expect(memory.equals(cache)).toBe(true)
      expect([...locks]).toEqual([0, 0])
      expect(file.lines.clean(0, file.layout.lines)).toBe(0)
    })
  }, 120_000)
}

test('a process that is stopped while it cleans holds nobody up, and its late write-back is not the last', async () => {
  await shared(64, async (file) => {
    const child = start(file, 0, 2, 300_000, false)
    const gone = codeOf(child)
    const ready = new Int32Array(file.view, file.layout.total, 1)
    while (Atomics.load(ready, 0) === 0) await sleep(10)
    Atomics.add(ready, 0, 1)
    const { cache } = cacheMemory(file.view, file.layout)
    for (let round = 1; round <= 20; round++) {
      await sleep(5)
      child.kill('SIGSTOP')
      for (let at = 1; at < BYTES; at += 2) cache[at] = round
      file.lines.clean(0, file.layout.lines)
      const odd = sees(file).memory.filter((_, at) => at % 2 === 1)
      expect(new Set(odd)).toEqual(new Set([round]))
      child.kill('SIGCONT')
    }
    expect(await gone).toBe(0)
    file.lines.clean(0, file.layout.lines)
    const { cache: last, memory, locks } = sees(file)
    expect(memory.equals(last)).toBe(true)
    expect([...locks]).toEqual([0, 0])
  })
}, 120_000)

test('a process that died while it cleaned, or locks all there is, delays and no more', async () => {
  await shared(64, (file) => {
    const { cache, locks } = { ...sees(file), cache: cacheMemory(file.view, file.layout).cache }
    cache.fill(5)
    locks.fill(0xdead)
    expect(file.lines.clean(0, file.layout.lines)).toBe(file.layout.lines)
    expect(new Set(sees(file).memory)).toEqual(new Set([5]))
    expect([...locks]).toEqual([0, 0])
  })
})
