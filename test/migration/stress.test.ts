import { setImmediate as turn } from 'node:timers/promises'
import { beforeAll, expect } from 'vitest'
import { bufinfo, type DmaBuf, DmaBufError, forkWithChannel, SystemHeap } from '../../src/index.ts'
import {
  BOARD_BYTES,
  boardOf,
  count,
  PLACED_BYTES,
  promised,
  stop,
  WRITERS,
  wordsOf,
} from '../children/counting.ts'
import { shift } from '../children/shift.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { Counter } from '../support/counters.ts'
import { warmUp } from '../support/dropped.ts'
import { until } from '../support/until.ts'
import { zeroCopyTest } from '../support/zero-copy.ts'

/** Deaths in each test: `DMABUF_KILLS=500` for a night. */
const DEATHS = Number(process.env['DMABUF_KILLS'] ?? 6)
const heap = new SystemHeap()
const code = useCompiled()

beforeAll(warmUp)
useCensus()

const any = (below: number) => Math.floor(Math.random() * below)

/** A placed buffer that has its storage already: before that, nothing can move. */
async function place(moveTimeout: number): Promise<DmaBuf> {
  const placed = await heap.allocate(PLACED_BYTES, { name: 'moving', movable: true, moveTimeout })
  await placed.withCpuAccess('write', (cpu) => cpu.bytes.fill(0))
  return placed
}

function infoOf(buffer: DmaBuf) {
  const info = bufinfo().find(({ name }) => name === buffer.name)
  if (info === undefined) throw new Error('no such buffer')
  return info
}

/** Whether it has moved; not when somebody stays inside for too long. */
async function moves(buffer: DmaBuf): Promise<boolean> {
  try {
    await shift(buffer)
    return true
  } catch (error) {
    if (!(error instanceof DmaBufError) || error.code !== 'EBUSY') throw error
    return false
  }
}

/** What all have promised is there; of one that was killed perhaps what it was about to promise, in some of its words. */
async function expectAllKept(placed: DmaBuf, board: Uint32Array): Promise<void> {
  using access = await placed.beginCpuAccess('read')
  promised(board).forEach((done, writer) => {
    for (const word of wordsOf(access.bytes, writer)) {
      expect(word, `of writer ${writer}`).toBeGreaterThanOrEqual(done)
      expect(word, `of writer ${writer}`).toBeLessThanOrEqual(done + 1)
    }
  })
}

/** Waits until it is so, while all who count find everything in order: the first to miss something ends it. */
async function untilCounted(
  counting: readonly Promise<void>[],
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const reached = until(condition, what)
  const missed = Promise.all(counting).then(() => reached)
  for (const promise of [reached, missed]) promise.catch(() => {})
  await Promise.race([reached, missed])
}

/** Whether every writer has promised that many more than before. */
function gotOn(board: Uint32Array, before: readonly number[], more: number): boolean {
  return promised(board).every((done, writer) => done >= (before[writer] ?? 0) + more)
}

/** All writers but the first, which is played here. */
const elsewhere = Array.from({ length: WRITERS - 1 }, (_, writer) => writer + 1)

zeroCopyTest(
  'no store of a bracket is lost, and no view, while a buffer moves under readers and writers that are killed',
  async () => {
    using placed = await place(10_000)
    using shared = await heap.allocate(BOARD_BYTES)
    const board = boardOf(shared)
    const start = (writer: number | undefined) => Counter.start(code, { writer }, placed, shared)
    const counters = [...elsewhere, undefined].map(start)
    const own = count(placed, board, { writer: 0 })
    const counting = () => [own, ...counters.map(({ ended }) => ended)]
    let succeeded = 0
    const go = async () => {
      if (await moves(placed)) succeeded++
    }
    for (let death = 0; death < DEATHS; death++) {
      const before = promised(board)
      const step = () => go().then(() => gotOn(board, before, 20))
      await untilCounted(counting(), step, 'every writer has got on')
      for (let n = any(20); n > 0; n--) await go()
      const at = any(counters.length)
      const victim = counters[at] as Counter
      await Promise.all([victim.kill(), go()])
      counters[at] = start(victim.writer)
    }
    stop(board)
    await Promise.all(counting())
    await expectAllKept(placed, board)
    const { generation, moves: costs } = infoOf(placed)
    expect(costs).toMatchObject({ moves: succeeded, bytesMoved: succeeded * PLACED_BYTES })
    expect(costs.milliseconds).toBeGreaterThan(0)
    expect(succeeded).toBeGreaterThan(DEATHS)
    expect(generation).toBeGreaterThan(succeeded)
  },
  DEATHS * 30_000,
)

zeroCopyTest('brackets that last longer than moveTimeout make moves fail, and lose nothing', async () => {
  using placed = await place(20)
  using shared = await heap.allocate(BOARD_BYTES)
  const board = boardOf(shared)
  const counting = elsewhere.map((writer) => Counter.start(code, { writer, sits: 60 }, placed, shared).ended)
  counting.push(count(placed, board, { writer: 0 }))
  let succeeded = 0
  let failed = 0
  const step = async () => {
    if (await moves(placed)) succeeded++
    else failed++
    return failed > 5 && succeeded > 20 && gotOn(board, [], 50)
  }
  await untilCounted(counting, step, 'moves have failed and succeeded')
  stop(board)
  await Promise.all(counting)
  await expectAllKept(placed, board)
  // A move that failed counts for nothing, but for its number.
  const { generation, moves: costs } = infoOf(placed)
  expect(costs.moves).toBe(succeeded)
  expect(generation).toBeGreaterThan(succeeded)
})

zeroCopyTest(
  'whenever the exporter is killed, all who survive go on with the same storage and all that was stored',
  async () => {
    for (let death = 0; death < DEATHS; death++) {
      const { child, channel } = forkWithChannel(code.url('test/children/mover.ts'))
      const [placed] = (await channel.receive()).buffers as [DmaBuf]
      using shared = await heap.allocate(BOARD_BYTES)
      const board = boardOf(shared)
      const counting = elsewhere.map((writer) => Counter.start(code, { writer }, placed, shared).ended)
      counting.push(count(placed, board, { writer: 0 }))
      await untilCounted(counting, () => gotOn(board, [], 20), 'all are at work')
      for (let turns = any(200); turns > 0; turns--) await turn()
      process.kill(child.pid ?? 0, 'SIGKILL')
      const before = promised(board)
      await untilCounted(counting, () => gotOn(board, before, 100), 'all have gone on')
      stop(board)
      await Promise.all(counting)
      await expectAllKept(placed, board)
      placed.close()
      await channel.close()
    }
  },
  DEATHS * 30_000,
)
