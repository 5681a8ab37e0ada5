import { beforeAll, expect, test } from 'vitest'
import { bufinfo, Channel, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { shift } from '../children/shift.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { warmUp } from '../support/dropped.ts'
import { codeNow, codeOf } from '../support/fails.ts'
import { WorkerPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
const code = useCompiled()

beforeAll(warmUp)
useCensus()

const holders = () => bufinfo().flatMap((info) => info.holders)

test('a buffer goes to a thread of this process, and both see the same bytes', async () => {
  await using puppet = WorkerPuppet.start(code)
  using buffer = heap.allocateSync(4096)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(2))
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('sum')).message['sum']).toBe(8192)
  await puppet.ask('fill', { value: 9 })
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[77])).toBe(9)
  expect((await puppet.ask('state')).message['held']).toEqual([{ role: 'holder', revoked: false }])
  await until(() => holders().length === 1, 'the thread has registered')
  expect(holders()[0]?.pid).toBe(process.pid)
  await puppet.ask('drop')
})

test('a buffer of a thread comes here, and stays when the thread ends', async () => {
  const puppet = WorkerPuppet.start(code)
  const { buffers } = await puppet.ask('allocate', { bytes: 8192 })
  await puppet.ask('fill', { value: 3 })
  await puppet.channel.close()
  await puppet.gone
  const [buffer] = buffers
  expect(buffer?.withCpuAccessSync('read', (cpu) => cpu.bytes[8191])).toBe(3)
  buffer?.close()
})

test('a buffer goes from thread to thread', async () => {
  await using one = WorkerPuppet.start(code)
  await using other = WorkerPuppet.start(code)
  const { buffers } = await one.ask('allocate', { bytes: 4096 })
  await one.ask('fill', { value: 1 })
  await other.ask('hold', {}, buffers)
  expect((await other.ask('sum')).message['sum']).toBe(4096)
  for (const buffer of buffers) buffer.close()
  // A holder registers at the end of the turn in which the buffer came.
  await expect.poll(async () => (await one.ask('holders')).message['holders']).not.toEqual([])
})

test('a thread that is terminated with everything open is a holder that died', async () => {
  const puppet = WorkerPuppet.start(code)
  using buffer = heap.allocateSync(4096)
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('begin', { access: 'write' })
  await puppet.ask('allocate', { bytes: 4096 }).then(({ buffers }) => {
    for (const each of buffers) each.close()
  })
  await until(() => holders()[0]?.openWriteBrackets === 1, 'the bracket is seen')
  await puppet.kill()
  await until(() => holders().length === 0, 'its end is noticed')
  expect((await puppet.channel.closed).reason).toBe('peer-died')
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.interrupted)).toBe(true)
  await puppet.channel.close()
})

test('a thread is a holder like any other of a buffer that moves, and of its devices', async () => {
  const puppet = WorkerPuppet.start(code)
  using buffer = await heap.allocate(65_536, { movable: true, moveTimeout: 30_000 })
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('store', { at: 1, value: 7 })
  await puppet.ask('attach')
  await puppet.ask('map')
  const mapped = shift(buffer)
  await puppet.ask('unmap')
  await mapped
  expect((await puppet.ask('load', { at: 1 })).message['value']).toBe(7)
  expect((await puppet.ask('peek', { at: 1 })).message['value']).toBe(7)
  await puppet.ask('map')
  await puppet.ask('enter', { access: 'write' })
  const moving = shift(buffer)
  // Its end lets go of the table and of the bracket.
  await puppet.kill()
  await moving
  expect(bufinfo()[0]).toMatchObject({ generation: 3, holders: [], attachedDevices: [] })
  expect(await buffer.withCpuAccess('read', (cpu) => cpu.bytes[1])).toBe(7)
  await puppet.channel.close()
})

test('a thread that exported a buffer is dead when it is terminated, although its process lives', async () => {
  const puppet = WorkerPuppet.start(code)
  const { buffers } = await puppet.ask('place', { bytes: 4096 })
  const buffer = buffers[0] as DmaBuf
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(5))
  await puppet.kill()
  expect(await codeOf(() => buffer.fix())).toBe('ENODEV')
  expect(await buffer.withCpuAccess('read', (cpu) => cpu.bytes[4095])).toBe(5)
  buffer.close()
  await puppet.channel.close()
})

test('threads that come and go, terminated at any moment, leave nothing', async () => {
  for (let round = 0; round < 15; round++) {
    const puppet = WorkerPuppet.start(code)
    using buffer = heap.allocateSync(4096)
    void puppet.tell('hold', {}, [buffer]).catch(() => {})
    void puppet.tell('begin', { access: 'read' }).catch(() => {})
    if (round % 3 > 0) await puppet.channel.ready
    if (round % 3 > 1) await puppet.channel.receive()
    await puppet.kill()
    await puppet.channel.close({ signal: AbortSignal.abort() })
  }
})

test('Channel.parent is there once, and nowhere else', () => {
  expect(codeNow(() => Channel.parent())).toBe('ENOTCONN')
})
