import { beforeAll, expect, test } from 'vitest'
import { FenceArray, SyncFile, Timeline } from '../../src/index.ts'
import { limits } from '../../src/internal/limits.ts'
import { addon } from '../../src/native/load.ts'
import { receiveDeadline, sendDeadline } from '../../src/sync/deadline-message.ts'
import { useCensus } from '../support/census.ts'
import { Fencer } from '../support/fencer.ts'
import { until } from '../support/until.ts'
import { warmFences } from '../support/warm-fences.ts'

beforeAll(warmFences)
useCensus()

/** A timeline whose owner writes down by when its fences are needed. */
function told(): { timeline: Timeline; deadlines: bigint[] } {
  const deadlines: bigint[] = []
  return { timeline: new Timeline('told', { onDeadline: (_, at) => deadlines.push(at) }), deadlines }
}

/** Some turns of the event loop, in which what has been sent is read. */
async function turns(): Promise<void> {
  for (let count = 0; count < 50; count++) await new Promise(setImmediate)
}

test('FE-22: a deadline reaches the signaller in another process, alone or in an array', async () => {
  await using fencer = Fencer.fork()
  const { timeline, deadlines } = told()
  using file = SyncFile.from(timeline.createFence())
  using both = SyncFile.from(new FenceArray([timeline.createFence(), new Timeline().createFence()]))
  await fencer.ask('hold', {}, [file])
  await fencer.ask('deadline', { at: '5000' })
  await until(() => deadlines.length === 1, 'the first has come')
  await fencer.ask('deadline', { at: '7000' })
  await fencer.ask('deadline', { at: '3000' })
  await until(() => deadlines.length === 2, 'the earlier one has come')
  expect([deadlines, file.fence.deadline]).toEqual([[5000n, 3000n], 3000n])
  await fencer.ask('drop')
  await fencer.ask('hold', {}, [both])
  await fencer.ask('deadline', { at: '9' })
  await until(() => deadlines.length === 3, 'that of the array has come')
  timeline.close()
})

test('whatever else is said on the end of a fence counts for nothing, and its signal arrives all the same', async () => {
  const native = addon()
  const { timeline, deadlines } = told()
  const file = SyncFile.from(timeline.createFence())
  const { fd } = file
  const { tx, outgoing } = native.scratch
  tx.fill(0xff, 0, 64)
  outgoing[0] = fd
  expect(native.send(fd, 64, 1, false)).toBe(64)
  expect(native.send(fd, 16, 0, false)).toBe(16)
  sendDeadline(fd, 2n ** 64n - 1n)
  await turns()
  expect(deadlines).toEqual([])
  sendDeadline(fd, 5n)
  await turns()
  expect(deadlines).toEqual([5n])
  const waited = file.wait()
  timeline.signal(1)
  expect(await waited).toBe(true)
  file.close()
  timeline.close()
})

test('nobody keeps a signaller busy with deadlines', async () => {
  const { timeline, deadlines } = told()
  using file = SyncFile.from(timeline.createFence())
  const { fd } = file
  for (let at = 40; at > 0; at--) sendDeadline(fd, BigInt(at))
  await turns()
  expect(deadlines.length).toBe(limits.maxRemoteDeadlines)
  timeline.close()
})

test('an owner that does not ask for deadlines is told none', async () => {
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence())
  sendDeadline(file.fd, 5n)
  await turns()
  expect(file.fence.deadline).toBeUndefined()
})

test('a callback for deadlines that throws does so in a microtask, and the next deadline is heard', async () => {
  const thrown: unknown[] = []
  const catching = (error: unknown) => thrown.push(error)
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.once('uncaughtException', catching)
  const heard: bigint[] = []
  using timeline = new Timeline('', {
    onDeadline: (_, at) => {
      heard.push(at)
      if (at === 9n) throw new Error('of the owner')
    },
  })
  using file = SyncFile.from(timeline.createFence())
  sendDeadline(file.fd, 9n)
  await turns()
  sendDeadline(file.fd, 8n)
  await turns()
  process.removeListener('uncaughtException', catching)
  for (const listener of listeners) process.on('uncaughtException', listener)
  expect([heard, thrown.map(String)]).toEqual([[9n, 8n], ['Error: of the owner']])
})

test('a deadline that there is no room for is lost, and nobody waits for room', () => {
  const native = addon()
  expect(native.socketPair()).toBe(0)
  const [mine = -1, theirs = -1] = native.scratch.descriptors
  for (let at = 0; at < 100_000; at++) sendDeadline(theirs, 1n)
  expect(receiveDeadline(mine)).toBe(1n)
  native.close(theirs)
  sendDeadline(mine, 1n)
  native.close(mine)
})
