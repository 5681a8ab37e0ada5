import { spawnSync } from 'node:child_process'
import { beforeAll, expect, test } from 'vitest'
import { Channel, Fence, FenceArray, SyncFile, Timeline } from '../../src/index.ts'
import { limits } from '../../src/internal/limits.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { Fencer } from '../support/fencer.ts'
import { until } from '../support/until.ts'
import { warmFences } from '../support/warm-fences.ts'

const POLLIN = 1
const EOWNERDEAD = -130

const code = useCompiled()
beforeAll(warmFences)
useCensus()

test('a fence of another process is waited for, with its error and the time of its signal', async () => {
  await using fencer = Fencer.fork()
  using file = await fencer.make()
  expect([file.fence.status, file.fence.timelineName]).toEqual(['pending', 'of the fencer'])
  const before = process.hrtime.bigint()
  const waited = file.wait()
  await fencer.tell('signal', { seqno: 1, error: -5, quiet: true })
  expect(await waited).toBe(true)
  expect([file.fence.status, file.fence.error]).toEqual(['error', -5])
  expect(file.fence.timestamp > before && file.fence.timestamp <= process.hrtime.bigint()).toBe(true)
})

test('SW-15: each of many fences of one timeline signals at its point, and shows it without a wait', async () => {
  await using fencer = Fencer.fork()
  const { fences: files } = await fencer.ask('make', { count: 8 })
  for (const seqno of [3, 4, 8]) {
    await fencer.ask('signal', { seqno })
    expect(files.map(({ fence }) => fence.isSignalled)).toEqual(files.map((_, index) => index < seqno))
  }
  for (const file of files) file.close()
})

test('a fence that has signalled crosses with its error and time, and without descriptors', async () => {
  await using fencer = Fencer.fork()
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence(), { name: 'done' })
  timeline.signal(1, { error: -110 })
  const { message } = await fencer.ask('hold', {}, [file, file])
  expect(message['held']).toBe(2)
  const status = await fencer.ask('status')
  expect(status.message).toMatchObject({
    status: 'error',
    error: -110,
    timestamp: String(file.fence.timestamp),
  })
})

test('a fence that comes back is the same fence', async () => {
  await using fencer = Fencer.fork()
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence(), { name: 'round trip' })
  await fencer.ask('hold', {}, [file])
  const { fences } = await fencer.ask('show')
  expect(fences.map(({ fence, name }) => [fence === file.fence, name])).toEqual([[true, 'round trip']])
  for (const each of fences) each.close()
})

test('the same fence received twice is the same fence', async () => {
  await using fencer = Fencer.fork()
  using file = await fencer.make()
  await using other = Fencer.fork()
  await other.ask('hold', {}, [file])
  const { fences } = await other.ask('show')
  expect(fences[0]?.fence).toBe(file.fence)
  fences[0]?.close()
})

test('a process waits for the fence of another one, and stays alive for it', async () => {
  const fencer = Fencer.fork()
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence())
  await fencer.ask('hold', {}, [file])
  await fencer.tell('waitAlone', { status: 7 })
  // It has read the order when its answer to one behind it would come; it answers none, as it waits.
  await new Promise((resolve) => setTimeout(resolve, 200))
  timeline.signal(1)
  expect(await fencer.gone).toEqual([7, null])
  await fencer.channel.close()
})

test('when the signaller is killed, its pending fences fail with EOWNERDEAD, and those that signalled stay', async () => {
  const fencer = Fencer.fork()
  const { fences: files } = await fencer.ask('make', { count: 3 })
  await fencer.ask('signal', { seqno: 1 })
  const waited = files.map((file) => file.wait())
  await fencer.kill()
  expect(await Promise.all(waited)).toEqual([true, true, true])
  expect(files.map(({ fence }) => fence.error)).toEqual([undefined, EOWNERDEAD, EOWNERDEAD])
  for (const file of files) file.close()
  await fencer.channel.close()
})

test('fences that all fail at once, as in a reset, have failed for those who come to look later', async () => {
  await using fencer = Fencer.fork()
  const { fences } = await fencer.ask('make', { count: 30 })
  for (const { fence } of fences) fence.addCallback(() => {})
  await fencer.tell('failAll', { count: 30, error: -5 })
  // This thread is busy until they all have.
  const { fence: last } = fences.at(-1) as SyncFile
  while (!last.isSignalled);
  const errors = fences.map(({ fence }) => fence.error)
  expect(errors.slice(-12)).toEqual(Array(12).fill(-5))
  expect(errors.filter((error) => error === undefined)).toEqual([])
  for (const file of fences) file.close()
})

test('a signaller that leaves in an orderly way is no different', async () => {
  const fencer = Fencer.fork()
  using file = await fencer.make()
  await fencer.tell('leave')
  await file.wait()
  expect(file.fence.error).toBe(EOWNERDEAD)
  await fencer.gone
  await fencer.channel.close()
})

test('a worker that is terminated fails its fences, although its process lives', async () => {
  const fencer = Fencer.thread(code)
  using file = await fencer.make()
  const started = performance.now()
  const waited = file.wait()
  await fencer.kill()
  await waited
  expect(file.fence.error).toBe(EOWNERDEAD)
  expect(performance.now() - started).toBeLessThan(limits.spoiledFenceTimeout)
  await fencer.channel.close()
})

test('SW-03: fences of a timeline that another process closes fail with ENOENT', async () => {
  await using fencer = Fencer.fork()
  using file = await fencer.make()
  await fencer.ask('close')
  await file.wait()
  expect(file.fence.error).toBe(-2)
})

test('a fence passed on signals whatever becomes of those in between', async () => {
  await using origin = Fencer.fork()
  const between = Fencer.fork()
  await using last = Fencer.fork()
  {
    using file = await origin.make()
    await between.ask('hold', {}, [file])
  }
  const { fences } = await between.ask('show')
  await last.ask('hold', {}, fences)
  for (const file of fences) file.close()
  await between.kill()
  await between.channel.close()
  expect((await last.ask('status')).message['status']).toBe('pending')
  await origin.ask('signal', { seqno: 1 })
  expect((await last.ask('wait')).message).toMatchObject({ status: 'signalled', error: 0 })
})

test('a merged file over two signallers and this process crosses, and needs each of them', async () => {
  await using one = Fencer.fork()
  const two = Fencer.fork()
  await using waiter = Fencer.fork()
  using timeline = new Timeline()
  using a = await one.make()
  using b = await two.make()
  using own = SyncFile.from(timeline.createFence())
  using pair = SyncFile.merge(a, b)
  using all = SyncFile.merge(pair, own)
  expect(all.info().fences).toHaveLength(3)
  await waiter.ask('hold', {}, [all])
  await one.ask('signal', { seqno: 1 })
  timeline.signal(1)
  expect((await waiter.ask('status')).message['status']).toBe('pending')
  expect(addon().pollNow(all.fd, POLLIN)).toBe(0)
  await two.kill()
  expect((await waiter.ask('wait')).message).toMatchObject({ status: 'error', error: EOWNERDEAD })
  await all.wait()
  expect(addon().pollNow(all.fd, POLLIN) & POLLIN).toBe(POLLIN)
  await two.channel.close()
})

test('the descriptor of a received fence is readable when its signaller says so, with nobody in between', async () => {
  await using fencer = Fencer.fork()
  using file = await fencer.make()
  expect(addon().pollNow(file.fd, POLLIN)).toBe(0)
  await fencer.ask('signal', { seqno: 1 })
  expect(addon().pollNow(file.fd, POLLIN) & POLLIN).toBe(POLLIN)
})

test('an end that a co-holder shuts down makes no fence signal before its time', async () => {
  await using fencer = Fencer.fork()
  using file = await fencer.make()
  const waited = file.wait()
  const shut = 'import socket; socket.socket(fileno=3).shutdown(2)'
  expect(spawnSync('python3', ['-c', shut], { stdio: ['ignore', 'ignore', 'inherit', file.fd] }).status).toBe(
    0,
  )
  expect(addon().pollNow(file.fd, POLLIN) & POLLIN).toBe(POLLIN)
  expect(await file.wait({ timeout: 100 })).toBe(false)
  expect(file.fence.status).toBe('pending')
  await fencer.ask('signal', { seqno: 1 })
  expect(await waited).toBe(true)
  expect(file.fence.status).toBe('signalled')
})

test('what a co-holder writes into the end disturbs nobody', async () => {
  await using fencer = Fencer.fork()
  using file = await fencer.make()
  const write =
    'import socket; s = socket.socket(fileno=3); s.setblocking(False)\nfor n in range(5): s.send(b"x" * 1000)'
  expect(
    spawnSync('python3', ['-c', write], { stdio: ['ignore', 'ignore', 'inherit', file.fd] }).status,
  ).toBe(0)
  expect(file.fence.status).toBe('pending')
  await fencer.ask('signal', { seqno: 1 })
  await file.wait()
  expect(file.fence.status).toBe('signalled')
})

test('a worker waits for the fence of the main thread, blocking', async () => {
  await using fencer = Fencer.thread(code)
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence())
  await fencer.ask('hold', {}, [file])
  expect((await fencer.ask('waitSync', { timeout: 60 })).message).toMatchObject({
    signalled: false,
    status: 'pending',
  })
  const waiting = fencer.ask('waitSync')
  setTimeout(() => timeline.signal(1, { error: -5 }), 120)
  expect((await waiting).message).toMatchObject({ signalled: true, error: -5 })
})

test('a worker that blocks on the fence of a killed process goes on', async () => {
  await using waiter = Fencer.thread(code)
  const fencer = Fencer.fork()
  {
    using file = await fencer.make()
    await waiter.ask('hold', {}, [file])
  }
  const waiting = waiter.ask('waitSync')
  await fencer.kill()
  expect((await waiting).message).toMatchObject({ signalled: true, error: EOWNERDEAD })
  await fencer.channel.close()
})

test('a worker does not block on a fence that only itself can signal', async () => {
  await using fencer = Fencer.thread(code)
  using file = await fencer.make()
  await fencer.ask('hold', {}, [file])
  expect((await fencer.ask('waitSync')).message['code']).toBe('EDEADLK')
})

test('a message carries so many fences and no more', async () => {
  const [mine, end] = Channel.pair()
  await using theirs = end.open()
  await using _ = mine
  const timelines = Array.from({ length: limits.maxFencesPerMessage + 1 }, () => new Timeline())
  const fences = timelines.map((timeline) => timeline.createFence())
  using all = SyncFile.from(new FenceArray(fences))
  await expect(mine.send(null, [], { fences: [all] })).rejects.toMatchObject({ code: 'EINVAL' })
  using most = SyncFile.from(new FenceArray(fences.slice(1)))
  await mine.send(null, [], { fences: [most] })
  const received = await theirs.receive()
  expect(received.fences[0]?.fence).toBeInstanceOf(FenceArray)
  for (const file of received.fences) file.close()
  for (const timeline of timelines) timeline.close()
})

test('fences that nobody receives are let go', async () => {
  const [mine, end] = Channel.pair()
  const theirs = end.open()
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence())
  using done = SyncFile.from(Fence.signalled())
  for (let count = 0; count < 3; count++) await mine.send(count, [], { fences: [file, done] })
  await until(() => true, 'they are there')
  await theirs.close()
  await mine.close()
})
