import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bufinfo, type Channel, type DmaBuf, listen, type Server, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { warmUp } from '../support/dropped.ts'
import { codeNow, codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const directory = mkdtempSync(join(tmpdir(), 'dmabuf-placed-'))
const path = join(directory, 'forwarded.sock')
const SIZE = 16 * 4096
let server: Server

beforeAll(async () => {
  await warmUp()
  server = await listen(path)
})
afterAll(async () => {
  await server.close()
  rmSync(directory, { recursive: true })
})
useCensus()

const first = (buffers: readonly DmaBuf[]): DmaBuf => {
  const [buffer] = buffers
  if (buffer === undefined) throw new Error('no buffer came')
  return buffer
}

/** A placed buffer of another process, here. */
async function placedBy(exporter: ProcessPuppet, options: { readonly [key: string]: boolean | number } = {}) {
  return first((await exporter.ask('place', { bytes: SIZE, options })).buffers)
}

const generationOf = (buffer: DmaBuf) => bufinfo().find(({ name }) => name === buffer.name)?.generation

test('when the exporter is killed, holders go on with the storage that they have', async () => {
  const exporter = ProcessPuppet.start()
  using buffer = await placedBy(exporter)
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(6))
  const cpu = await buffer.beginCpuAccess('read')
  await exporter.kill()
  await exporter.channel.close()
  expect(cpu.bytes[SIZE - 1]).toBe(6)
  cpu.end()
  await until(
    () => codeNowOrNone(() => buffer.beginCpuAccessSync('read').end()) === undefined,
    'it is entered',
  )
  await buffer.withCpuAccess('write', ({ bytes }) => bytes.fill(7))
  expect(await codeOf(() => buffer.fix())).toBe('ENODEV')
})

function codeNowOrNone(run: () => void): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

test('an exporter that dies in mid-move leaves its holders the storage that was the last one', async () => {
  const exporter = ProcessPuppet.start()
  await using inside = ProcessPuppet.start()
  using buffer = await placedBy(exporter, { moveTimeout: 30_000 })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(9))
  await inside.ask('hold', {}, [buffer])
  await inside.ask('enter')
  await exporter.tell('shift')
  // From here on the exporter waits for the bracket of the other holder.
  await until(() => codeNowOrNone(() => buffer.beginCpuAccessSync('read').end()) === 'EAGAIN', 'it moves')
  const waiting = buffer.beginCpuAccess('read')
  const aborted = buffer.beginCpuAccess('read', { signal: AbortSignal.timeout(10) })
  expect(await codeOf(() => aborted)).toBe('ABORT_ERR')
  await exporter.kill()
  const cpu = await waiting
  expect([cpu.bytes[0], generationOf(buffer)]).toEqual([9, 1])
  cpu.end()
  await inside.ask('end')
  expect((await inside.ask('load')).message['value']).toBe(9)
  await exporter.channel.close()
})

test('a holder that never had storage hears ENODEV when its exporter dies', async () => {
  const exporter = ProcessPuppet.start()
  using buffer = await placedBy(exporter)
  exporter.child.kill('SIGSTOP')
  const waiting = codeOf(() => buffer.beginCpuAccess('write'))
  const fixing = codeOf(() => buffer.fix())
  await exporter.kill()
  expect([await waiting, await fixing]).toEqual(['ENODEV', 'ENODEV'])
  await exporter.channel.close()
})

test('a forwarded buffer is as good as one from its exporter', async () => {
  await using exporter = ProcessPuppet.start()
  await using forwarder = ProcessPuppet.start()
  using buffer = await placedBy(exporter)
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(3))
  await forwarder.ask('hold', {}, [buffer])
  await forwarder.ask('forward', { path })
  const channel = await server.accept()
  const again = first((await channel.receive()).buffers)
  expect(again.same(buffer)).toBe(true)
  again.close()
  await channel.close()
})

async function forwarded(forwarder: ProcessPuppet): Promise<{ buffer: DmaBuf; channel: Channel }> {
  await forwarder.ask('forward', { path })
  const channel = await server.accept()
  return { buffer: first((await channel.receive()).buffers), channel }
}

test('a buffer that is forwarded after its exporter has died brings its storage along', async () => {
  const exporter = ProcessPuppet.start()
  await using forwarder = ProcessPuppet.start()
  {
    using buffer = await placedBy(exporter)
    await forwarder.ask('hold', {}, [buffer])
    await forwarder.ask('store', { at: 1, value: 77 })
  }
  await exporter.kill()
  await exporter.channel.close()
  const { buffer, channel } = await forwarded(forwarder)
  expect(await buffer.withCpuAccess('read', (cpu) => cpu.bytes[1])).toBe(77)
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(78))
  expect((await forwarder.ask('load')).message['value']).toBe(78)
  buffer.close()
  await channel.close()
})

test('a forwarder that has no storage has none to bring', async () => {
  const exporter = ProcessPuppet.start()
  await using forwarder = ProcessPuppet.start()
  {
    using buffer = await placedBy(exporter)
    await forwarder.ask('hold', {}, [buffer])
  }
  await exporter.kill()
  await exporter.channel.close()
  const { buffer, channel } = await forwarded(forwarder)
  expect(await codeOf(() => buffer.beginCpuAccess('read'))).toBe('ENODEV')
  expect(codeNow(() => buffer.beginCpuAccessSync('read'))).toBe('ENODEV')
  buffer.close()
  await channel.close()
})

test('a buffer that came home is the buffer itself', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await new SystemHeap().allocate(SIZE, { movable: true, name: 'home' })
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('store', { at: 0, value: 1 })
  const back = first((await puppet.ask('show')).buffers)
  expect(back.same(buffer)).toBe(true)
  expect(back.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(1)
  back.close()
})

test('a fixed buffer has a descriptor in every process, and moves no more', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await new SystemHeap().allocate(SIZE, { movable: true, name: 'fixed' })
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('fix')
  expect(bufinfo().find(({ name }) => name === 'fixed')).toMatchObject({ placed: false, generation: 1 })
  expect(buffer.fd).toBeGreaterThan(2)
  await puppet.ask('attach', { device: { maxSegments: 1 } })
  await puppet.ask('fill', { value: 5 })
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(5)
})
