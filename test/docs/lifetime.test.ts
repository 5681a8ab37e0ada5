import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import {
  bufinfo,
  Channel,
  DmaBuf,
  type ForkedWithChannel,
  forkWithChannel,
  SystemHeap,
} from '../../src/index.ts'

// What docs/lifetime.md promises, one test for each promise that needs processes to be kept.
const heap = new SystemHeap()
const started: ForkedWithChannel[] = []

function actor(): ForkedWithChannel {
  const url = new URL('./actor.ts', import.meta.url)
  const forked = forkWithChannel(url, [], { execArgv: ['--import', 'tsx'] })
  started.push(forked)
  return forked
}

async function order({ channel }: ForkedWithChannel, message: string, buffers: DmaBuf[] = []) {
  await channel.send(message, buffers)
  return channel.receive()
}

afterEach(async () => {
  for (const { child, channel } of started.splice(0)) {
    await channel.close()
    child.kill('SIGKILL')
  }
  await expect.poll(bufinfo).toEqual([])
})

test('the exporter waits for the holder, and close() there ends it', async () => {
  const holder = actor()
  const buffer = await heap.allocate(4096, { name: 'lent' })
  await order(holder, 'hold', [buffer])
  buffer.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(bufinfo()).toMatchObject([{ name: 'lent', wrappers: 0, holders: [{ pid: holder.child.pid }] }])
  await order(holder, 'drop')
  await expect.poll(bufinfo).toEqual([])
}, 60_000)

test('the death of a holder ends its holding, and its open write bracket is told', async () => {
  const holder = actor()
  using buffer = await heap.allocate(4096)
  await order(holder, 'hold', [buffer])
  await order(holder, 'bracket')
  expect(bufinfo()).toMatchObject([{ holders: [{ openWriteBrackets: 1 }] }])
  holder.child.kill('SIGKILL')
  await expect.poll(() => bufinfo()[0]?.holders).toEqual([])
  using cpu = buffer.beginCpuAccessSync('read')
  expect(cpu.interrupted).toBe(true)
}, 60_000)

test('an attachment elsewhere keeps the buffer, and the death of its importer ends it', async () => {
  const importer = actor()
  const buffer = await heap.allocate(4096, { name: 'shown', movable: true })
  await buffer.withCpuAccess('write', ({ bytes }) => bytes.fill(1))
  await order(importer, 'hold', [buffer])
  await order(importer, 'attach')
  await order(importer, 'drop')
  buffer.close()
  const attachedDevices = [{ name: 'display', pid: importer.child.pid, mapped: true }]
  expect(bufinfo()).toMatchObject([{ name: 'shown', wrappers: 0, attachedDevices }])
  importer.child.kill('SIGKILL')
  await expect.poll(bufinfo).toEqual([])
}, 60_000)

test('old storage goes when the last holder has begun a bracket after the move', async () => {
  const holder = actor()
  using buffer = await heap.allocate(2 << 20, { name: 'moved', movable: true })
  await buffer.withCpuAccess('write', ({ bytes }) => bytes.fill(2))
  // The answer to an order reads what is held.
  expect((await order(holder, 'hold', [buffer])).message).toEqual([2])
  using attachment = await buffer.attach(new Device('low', { dmaMask: 0xff_ffffn, maxSegments: 1 }))
  using table = await attachment.map('to-device')
  expect([table.generation, bufinfo()[0]?.holders]).toMatchObject([2, [{ generation: 1 }]])
  expect((await order(holder, 'hold')).message).toEqual([2])
  expect(bufinfo()[0]?.holders).toMatchObject([{ generation: 2 }])
}, 60_000)

test('memory outlives its exporter', async () => {
  const exporter = actor()
  const { buffers } = await order(exporter, 'make')
  exporter.child.kill('SIGKILL')
  expect(await exporter.channel.closed).toEqual({ reason: 'peer-died' })
  for (const buffer of buffers) {
    expect(buffer.withCpuAccessSync('read-write', ({ bytes }) => bytes.fill(8, 1)[0])).toBe(7)
    buffer.close()
  }
}, 60_000)

test('what a process sends as its last act arrives', async () => {
  const exporter = actor()
  const { message, buffers } = await order(exporter, 'make-and-exit')
  expect([message, buffers.length]).toEqual([[], 1])
  expect(await exporter.channel.closed).toEqual({ reason: 'peer-died' })
  for (const buffer of buffers) {
    expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[0])).toBe(7)
    buffer.close()
  }
}, 60_000)

test('all that a process sent before it ended arrives, however slowly it is read', async () => {
  const exporter = actor()
  await exporter.channel.send('flood')
  // Longer than the process lives, which is seen although the socket still holds what it sent.
  await new Promise((resolve) => exporter.child.once('exit', resolve))
  const messages: unknown[] = []
  for await (const { message } of exporter.channel) messages.push(message)
  expect(messages).toEqual(Array.from({ length: 150 }, (_, count) => count))
  expect(await exporter.channel.closed).toEqual({ reason: 'peer-died' })
}, 60_000)

test('a forwarded buffer outlives the forwarder, and its exporter waits for who has it', async () => {
  const directory = mkdtempSync('/tmp/dmabuf-forward-')
  const path = join(directory, 'socket')
  const [first, last] = [actor(), actor()]
  await order(last, `listen ${path}`)
  const buffer = await heap.allocate(4096, { name: 'far' })
  buffer.withCpuAccessSync('write', ({ bytes }) => bytes.fill(9))
  await order(first, 'hold', [buffer])
  buffer.close()
  await order(first, `forward ${path}`)
  first.child.kill('SIGKILL')
  await expect.poll(async () => (await order(last, 'hold')).message).toEqual([9])
  await expect.poll(bufinfo).toMatchObject([{ name: 'far', holders: [{ pid: last.child.pid }] }])
  await order(last, 'drop')
  await expect.poll(bufinfo).toEqual([])
  rmSync(directory, { recursive: true })
}, 60_000)

test('a message on its way holds its buffers, and a channel that closes unread gives them back', async () => {
  const [mine, theirs] = Channel.pair()
  const other = theirs.open()
  const buffer = await heap.allocate(4096, { name: 'under way' })
  await mine.send('taken by nobody', [buffer])
  buffer.close()
  await mine.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(bufinfo()).toMatchObject([{ name: 'under way' }])
  await other.close()
})

test('received buffers outlive their channel', async () => {
  const exporter = actor()
  const { buffers } = await order(exporter, 'make')
  await exporter.channel.close()
  for (const buffer of buffers) {
    expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[0])).toBe(7)
    buffer.close()
  }
}, 60_000)

test('views end with the last wrapper, and fromFd borrows', async () => {
  const buffer = await heap.allocate(4096)
  const again = DmaBuf.fromFd(buffer.fd)
  const cpu = buffer.beginCpuAccessSync('read')
  const { bytes } = cpu
  const seen = again.beginCpuAccessSync('read').bytes
  buffer.close()
  expect([bytes.length, cpu.ended, seen.length]).toEqual([0, true, 4096])
  again.close()
  expect(seen.length).toBe(0)
})
