import { expect, test } from 'vitest'
import { DmaEngine } from '../../src/dma.ts'
import { type CacheWorld, SeedFailure, underSeeds } from '../../src/testing.ts'
import { useCensus } from '../support/census.ts'
import { codeOf } from '../support/fails.ts'

useCensus()

/** A frame comes in by DMA, and the CPU reads it. `begins`: it says so before. */
function capture(begins: boolean) {
  return async (world: CacheWorld) => {
    const frame = world.allocate(4096, { name: 'frame' })
    const camera = world.device('camera')
    using attachment = await frame.attach(camera)
    using table = await attachment.map('from-device')
    await new DmaEngine(camera).fill(table, 0, 64, 7)
    const skipInvalidate = !begins
    using cpu = frame.beginCpuAccessSync('read', { skipInvalidate })
    if (cpu.bytes[0] !== 7) throw new Error(`stale: ${cpu.bytes[0]}`)
  }
}

async function failureOf(scenario: (world: CacheWorld) => Promise<void>, seeds = 100): Promise<SeedFailure> {
  const failed = await underSeeds({ seeds, scenario }).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (failed instanceof SeedFailure) return failed
  throw new Error(`no failure: ${String(failed)}`)
}

test('a scenario that is right passes under every seed', async () => {
  await underSeeds({ seeds: 50, scenario: capture(true) })
})

test('one that is not fails under its smallest seed, with the one act that matters', async () => {
  const failed = await failureOf(capture(false))
  expect(failed.message).toMatch(
    /^the scenario fails under seed \d+, by 1 act of the caches \(\*\): stale: 0\n/,
  )
  expect(failed.steps.map(({ text }) => text.replace(/ lines.*/, ''))).toEqual([
    'map camera from-device',
    '* prefetch',
    '  clean',
    'dma write camera 0+64',
    'begin read 0+4096',
    'end read',
    '  clean',
    'unmap camera from-device',
    '  invalidate',
  ])
  const again = await failureOf(capture(false))
  expect([again.seed, again.steps]).toEqual([failed.seed, failed.steps])
})

test('one that fails whatever the caches do says so', async () => {
  const failed = await failureOf(async (world) => {
    const buffer = world.allocate(64)
    buffer.withCpuAccessSync('write', () => {})
    throw new Error('always')
  })
  expect(failed.seed).toBeUndefined()
  expect(failed.message).toBe(
    'the scenario fails whatever the caches do: always\n   1 buffer 0: begin write 0+64\n   2 buffer 0: end write',
  )
  expect((failed.cause as Error).message).toBe('always')
})

test('moments in which the program does nothing count too', async () => {
  const failed = await failureOf(async (world) => {
    const camera = world.device('camera')
    const frame = world.allocate(64)
    using attachment = await frame.attach(camera)
    using table = await attachment.map('bidirectional')
    const bytes = frame.withCpuAccessSync('read', (cpu) => cpu.bytes)
    bytes[0] = 1
    const engine = new DmaEngine(camera)
    await engine.fill(table, 1, 63, 7)
    world.tick()
    const [, second] = await engine.read(table, 0, 2)
    if (second !== 7) throw new Error('the DMA was written over')
  })
  expect(failed.steps.some(({ text }) => text.startsWith('* evict lines'))).toBe(true)
})

test('options are checked', async () => {
  expect(await codeOf(() => underSeeds({ seeds: 0, scenario: () => {} }))).toBe('EINVAL')
  expect(await codeOf(() => underSeeds({ seed: 3, scenario: () => {} } as never))).toBe('EINVAL')
  expect(await codeOf(() => underSeeds({} as never))).toBe('EINVAL')
})

test('acts are left out of buffers with one and the same name, too', async () => {
  const failed = await failureOf(async (world) => {
    const camera = world.device('camera')
    for (const skipInvalidate of [false, true]) {
      const frame = world.allocate(1024, { name: 'frame' })
      using attachment = await frame.attach(camera)
      using table = await attachment.map('from-device')
      for (let moment = 0; moment < 4; moment++) world.tick()
      await new DmaEngine(camera).fill(table, 0, 1024, 7)
      using cpu = frame.beginCpuAccessSync('read', { skipInvalidate })
      if (!cpu.bytes.every((byte) => byte === 7)) throw new Error('stale')
    }
  })
  expect(failed.message).toContain('by 1 act of the caches')
})

test('a scenario that is left by its error warns of no bracket, one that passes and forgets one does', async () => {
  const warnings: string[] = []
  const warn = ({ message }: Error) => warnings.push(message)
  process.on('warning', warn)
  const scenario = (fails: boolean) => (world: CacheWorld) => {
    world.allocate(64, { name: 'left' }).beginCpuAccessSync('write')
    if (fails) throw new Error('in the middle')
  }
  await failureOf(async (world) => scenario(true)(world))
  await new Promise(setImmediate)
  expect(warnings).toEqual([])
  await underSeeds({ seeds: 1, scenario: scenario(false) })
  await new Promise(setImmediate)
  expect(warnings[0]).toContain('never ended')
  process.off('warning', warn)
})

test('what belongs to the world is not a buffer of it to choose', async () => {
  for (const option of [{ seed: 3 }, { coherency: 'coherent' }, { sharing: 'read-only' }]) {
    const failed = await failureOf(async (world) => {
      world.allocate(64, option as never)
    })
    expect((failed.cause as { code: string }).code).toBe('EINVAL')
  }
})
