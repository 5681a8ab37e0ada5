import { beforeAll, expect, test } from 'vitest'
import { Device, DmaEngine } from '../../src/dma.ts'
import type { HostMapping } from '../../src/dmabuf/attachment-host.ts'
import { coreOf } from '../../src/dmabuf/dmabuf.ts'
import { type Attachment, bufinfo, DmaBuf, SystemHeap } from '../../src/index.ts'
import { limits } from '../../src/internal/limits.ts'
import { createMemfd } from '../../src/memory/memfd.ts'
import { WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { shift } from '../children/shift.ts'
import { useCensus } from '../support/census.ts'
import { warmUp } from '../support/dropped.ts'
import { codeOf, failure } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
const SIZE = 64 * 4096

beforeAll(warmUp)
useCensus()

const infoOf = (buffer: DmaBuf) => {
  const info = bufinfo().find(({ name }) => name === buffer.name)
  if (info === undefined) throw new Error('no such buffer')
  return info
}

const segmentsOf = (table: Iterable<{ dmaAddress: bigint; length: number }>) =>
  Array.from(table, ({ dmaAddress, length }) => [Number(dmaAddress), length])

test('a device in another process sees the same memory, by the same table, as one here', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(SIZE, { name: 'table', movable: true })
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('attach')
  expect(infoOf(buffer).attachedDevices).toHaveLength(1)
  const { segments, moved } = (await puppet.ask('map')).message
  expect(moved).toBe(false)
  using attachment = await buffer.attach(new Device('here'))
  using table = await attachment.map('bidirectional')
  expect(segments).toEqual(segmentsOf(table))
  await buffer.withCpuAccess('write', (cpu) => {
    cpu.bytes[SIZE - 1] = 41
  })
  expect((await puppet.ask('dma', { at: SIZE - 1 })).message['value']).toBe(41)
  await puppet.ask('detach')
  await until(() => infoOf(buffer).attachedDevices.length === 1, 'it is detached')
})

test('a fixed buffer is attached to from another process too', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = heap.allocateSync(SIZE, { name: 'fixed' })
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(3))
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('attach')
  const { segments } = (await puppet.ask('map')).message
  const total = (segments as [number, number][]).reduce((sum, [, length]) => sum + length, 0)
  expect(total).toBe(SIZE)
  expect((await puppet.ask('dma')).message['value']).toBe(3)
})

/** Every second page of a memory: no two of them can be joined. */
function scattered(pages: number): HostMapping {
  const segments = Array.from({ length: pages }, (_, page) => ({ address: page * 8192, length: 4096 }))
  return { segments, offset: 0, generation: 1 }
}

test('a table of more segments than one message has comes whole', async () => {
  await using puppet = ProcessPuppet.start()
  const pages = limits.maxSegmentsPerPacket * 2 + 10
  using buffer = await heap.allocate(pages * 4096, { name: 'long' })
  coreOf(buffer).host = {
    attach: async () => ({
      map: async () => scattered(pages),
      unmap: () => {},
      pin: async () => {},
      unpin: () => {},
      detach: () => {},
    }),
  }
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('attach')
  const { segments } = (await puppet.ask('map')).message
  expect((segments as unknown[]).length).toBe(pages)
  expect((segments as unknown[]).at(-1)).toEqual([(pages - 1) * 8192, 4096])
})

test('a device of another process makes a buffer move, and a mapped one holds it in its place', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(SIZE, { name: 'moves', movable: true, moveTimeout: 200 })
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('store', { at: 1, value: 2 })
  await shift(buffer)
  await puppet.ask('attach', { device: { dmaMask: 0xffff_ffff, maxSegments: 1 } })
  const answer = (await puppet.ask('map')).message
  expect((answer['segments'] as [number, number][]).length).toBe(1)
  expect(Number((answer['segments'] as [number, number][])[0]?.[0])).toBeLessThan(2 ** 32)
  expect((await puppet.ask('dma', { at: 1 })).message['value']).toBe(2)
  const generation = infoOf(buffer).generation
  // It maps the storage of its table, at once.
  expect((await puppet.ask('info')).message['generation']).toBe(generation)
  expect(await codeOf(() => shift(buffer))).toBe('EBUSY')
  await puppet.ask('unmap')
  await until(() => shift(buffer).then(() => true), 'it lets go')
  expect((await puppet.ask('map')).message['moved']).toBe(true)
  await puppet.ask('unmap')
})

test('a dynamic importer in another process is told that the buffer has moved, and can pin it', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(SIZE, { name: 'dynamic', movable: true, moveTimeout: 200 })
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('attach', { dynamic: true })
  await puppet.ask('map')
  await shift(buffer)
  await until(async () => (await puppet.ask('info')).message['notified'] === 1, 'it is told')
  expect((await puppet.ask('dma')).message['code']).toBe('ESTALE')
  await puppet.ask('unmap')
  await puppet.ask('pin')
  expect(await codeOf(() => shift(buffer))).toBe('EBUSY')
  await puppet.ask('unpin')
  await until(() => shift(buffer).then(() => true), 'it lets go')
})

/** What an importer in this process and one in another get for the same mistake. */
async function bothFail(
  buffer: DmaBuf,
  device: { readonly [key: string]: number },
  act: (attachment: Attachment) => Promise<unknown>,
  order: string,
) {
  const { dmaMask, ...rest } = device
  const mask = dmaMask === undefined ? {} : { dmaMask: BigInt(dmaMask) }
  const here = await failure(async () => {
    using attachment = await buffer.attach(new Device('of the puppet', { ...rest, ...mask }))
    await act(attachment)
  })
  await using puppet = ProcessPuppet.start()
  await puppet.ask('hold', {}, [buffer])
  let answer = (await puppet.ask('attach', { device })).message
  if (answer['code'] === undefined) answer = (await puppet.ask(order)).message
  const there = { code: answer['code'], text: answer['text'] }
  expect(there).toEqual({ code: here.code, text: here.message })
  expect([answer['rule'], answer['needed'], answer['got']]).toEqual([here.rule, here.needed, here.got])
  return here
}

test('memory that does not suit is refused in the same words in every process', async () => {
  using buffer = await heap.allocate(SIZE, { name: 'unsuitable' })
  await buffer.attach(new Device('first')).then(async (attachment) => {
    await attachment.map('to-device')
    attachment.detach()
  })
  const error = await bothFail(buffer, { dmaMask: 0xff_ffff }, (at) => at.map('bidirectional'), 'map')
  expect(error).toMatchObject({ code: 'EINVAL', rule: 'address-range' })
})

test('a late device is refused in the same words in every process', async () => {
  using buffer = await heap.allocate(SIZE, { name: 'late', movable: true, lateAttach: 'busy' })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(1))
  const error = await bothFail(buffer, { dmaMask: 0xff_ffff }, (at) => at.map('bidirectional'), 'map')
  expect(error).toMatchObject({ code: 'EBUSY', rule: 'address-range' })
})

test('only dynamic importers pin, in every process', async () => {
  using buffer = await heap.allocate(SIZE, { name: 'pinned', movable: true })
  expect((await bothFail(buffer, {}, (attachment) => attachment.pin(), 'pin')).code).toBe('EINVAL')
})

test("what the exporter's ops throw reaches the importer, wherever it is", async () => {
  const calls: string[] = []
  const fd = createMemfd('mine', SIZE, undefined)
  addon().addSeals(fd, WRITABLE_SEALS)
  using buffer = DmaBuf.export({
    ...{ exporterName: 'mine', fd, byteLength: SIZE, name: 'mine' },
    ops: {
      attach: ({ deviceName, pid, dynamic }) => {
        calls.push(`attach ${deviceName} ${pid === process.pid} ${dynamic}`)
        if (dynamic) throw new Error('no dynamic ones')
      },
      detach: () => calls.push('detach'),
      pin: () => calls.push('pin'),
      unpin: () => calls.push('unpin'),
      map: (_, direction) => calls.push(`map ${direction}`),
      unmap: (_, direction) => calls.push(`unmap ${direction}`),
      release: () => {},
    },
  })
  const puppet = ProcessPuppet.start()
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('attach', { dynamic: true })).message).toMatchObject({
    code: 'EREMOTEIO',
    text: 'EREMOTEIO: the exporter of buffer mine failed: no dynamic ones',
  })
  await puppet.ask('attach')
  await puppet.ask('map')
  await puppet.ask('map')
  const before = ['attach of the puppet false true', 'attach of the puppet false false']
  const maps = ['pin', 'map bidirectional', 'pin', 'map bidirectional']
  expect(calls).toEqual([...before, ...maps])
  calls.length = 0
  // In the kernel's order, for whoever cannot do it itself any more.
  await puppet.kill()
  const ends = ['unmap bidirectional', 'unpin', 'unmap bidirectional', 'unpin', 'detach']
  await until(() => calls.length === ends.length, 'all of it is undone')
  expect(calls).toEqual(ends)
  await puppet.channel.close()
})

test('a map that is aborted in another process is withdrawn, and what came all the same is undone', async () => {
  await using inside = ProcessPuppet.start()
  await using puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(SIZE, { name: 'aborted', movable: true, moveTimeout: 30_000 })
  for (const each of [inside, puppet]) await each.ask('hold', {}, [buffer])
  await inside.ask('store', { at: 0, value: 1 })
  await shift(buffer)
  await inside.ask('enter')
  await puppet.ask('attach', { device: { dmaMask: 0xffff_ffff, maxSegments: 1 } })
  const { generation } = infoOf(buffer)
  expect((await puppet.ask('map', { patience: 100 })).message['code']).toBe('ABORT_ERR')
  expect(infoOf(buffer).generation).toBe(generation)
  await inside.ask('end')
  await until(() => !coreOf(buffer).inMove, 'the move is off')
  expect((await puppet.ask('map')).message['code']).toBeUndefined()
  await puppet.ask('unmap')
  await puppet.ask('detach')
})

test('a holder that is killed while it waits for a map is forgotten', async () => {
  await using inside = ProcessPuppet.start()
  const puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(SIZE, { name: 'forgotten', movable: true, moveTimeout: 30_000 })
  for (const each of [inside, puppet]) await each.ask('hold', {}, [buffer])
  await inside.ask('store', { at: 0, value: 1 })
  await inside.ask('enter')
  await puppet.ask('attach', { device: { dmaMask: 0xff_ffff, maxSegments: 1 } })
  await puppet.tell('map')
  await until(() => coreOf(buffer).inMove, 'the map makes it move')
  await puppet.kill()
  await until(() => infoOf(buffer).attachedDevices.length === 0 && !coreOf(buffer).inMove, 'it is forgotten')
  expect(infoOf(buffer).generation).toBe(1)
  await inside.ask('end')
  await puppet.channel.close()
})

test('when the exporter dies, attach, map and pin are ENODEV, and so are those that wait', async () => {
  const exporter = ProcessPuppet.start()
  const { buffers } = await exporter.ask('place', { bytes: SIZE })
  const buffer = buffers[0] as DmaBuf
  const device = new Device('here')
  const attachment = await buffer.attach(device)
  const dynamic = await buffer.attach(device, { moveNotify: () => {} })
  const table = await attachment.map('bidirectional')
  await new DmaEngine(device).write(table, 5, new Uint8Array([7]))
  exporter.child.kill('SIGSTOP')
  const waiting = [
    codeOf(() => buffer.attach(device)),
    codeOf(() => attachment.map('to-device')),
    codeOf(() => dynamic.pin()),
  ]
  await exporter.kill()
  expect(await Promise.all(waiting)).toEqual(['ENODEV', 'ENODEV', 'ENODEV'])
  expect(await codeOf(() => buffer.attach(device))).toBe('ENODEV')
  expect(await codeOf(() => attachment.map('to-device'))).toBe('ENODEV')
  expect(await buffer.withCpuAccess('read', (cpu) => cpu.bytes[5])).toBe(7)
  // What is mapped goes on, and ends as ever.
  expect((await new DmaEngine(device).read(table, 5, 1))[0]).toBe(7)
  table.unmap()
  attachment.detach()
  dynamic.detach()
  buffer.close()
  await exporter.channel.close()
})

test('one process has so many requests with an exporter, and one more is ENOBUFS', async () => {
  const exporter = ProcessPuppet.start()
  const buffer = (await exporter.ask('place', { bytes: SIZE })).buffers[0] as DmaBuf
  const attachment = await buffer.attach(new Device('here'))
  exporter.child.kill('SIGSTOP')
  const maps = Array.from({ length: limits.maxRequestsPerHolder + 2 }, () =>
    codeOf(() => attachment.map('to-device')),
  )
  expect(await maps.at(-1)).toBe('ENOBUFS')
  await exporter.kill()
  const codes = await Promise.all(maps)
  expect(codes.filter((code) => code === 'ENODEV')).toHaveLength(limits.maxRequestsPerHolder)
  attachment.detach()
  buffer.close()
  await exporter.channel.close()
})
