import { beforeAll, expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { bufinfo, DmaBuf, limits, SyncFile, SystemHeap, Timeline } from '../../src/index.ts'
import { WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { useCensus } from '../support/census.ts'
import { memfd } from '../support/descriptor.ts'
import { codeNow, codeOf } from '../support/fails.ts'
import { Fencer } from '../support/fencer.ts'
import { until } from '../support/until.ts'
import { warmFences } from '../support/warm-fences.ts'

const heap = new SystemHeap()

beforeAll(warmFences)
useCensus()

/** Which of reading and writing could begin at once. */
function ready(buffer: DmaBuf): string {
  const can = (access: 'read' | 'write') => {
    try {
      buffer.beginCpuAccessSync(access).end()
      return true
    } catch {
      return false
    }
  }
  return `${can('read') ? 'r' : '-'}${can('write') ? 'w' : '-'}`
}

test('PO-01, PO-03, PO-05, PO-06: a read fence holds up writers, a write fence everybody', async () => {
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  expect(ready(buffer)).toBe('rw')
  buffer.reservation.add(timeline.createFence(), 'read')
  expect(ready(buffer)).toBe('r-')
  buffer.reservation.add(timeline.createFence(), 'write')
  expect(ready(buffer)).toBe('--')
  timeline.signal(2)
  expect(ready(buffer)).toBe('rw')
  await buffer.poll('write')
})

test('PO-40: bookkeeping holds up nobody', () => {
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  buffer.reservation.add(timeline.createFence(), 'bookkeep')
  expect(ready(buffer)).toBe('rw')
})

test('a bracket waits with its count raised, and begins when the fence signals', async () => {
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  buffer.reservation.add(timeline.createFence(), 'write')
  let begun = false
  const begin = buffer.beginCpuAccess('read').then((cpu) => {
    begun = true
    return cpu
  })
  await new Promise(setImmediate)
  expect(begun).toBe(false)
  expect(codeNow(() => buffer.beginCpuAccessSync('read'))).toBe('EAGAIN')
  timeline.signal(1, { error: -5 })
  const cpu = await begin
  expect(cpu.bytes.length).toBe(4096)
  cpu.end()
})

test('a bracket that waits can be aborted, and one whose buffer is closed fails', async () => {
  const buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  buffer.reservation.add(timeline.createFence(), 'write')
  const controller = new AbortController()
  const aborted = buffer.beginCpuAccess('read', { signal: controller.signal })
  controller.abort()
  expect(await codeOf(() => aborted)).toBe('ABORT_ERR')
  const closed = buffer.beginCpuAccess('read')
  buffer.close()
  timeline.signal(1)
  expect(await codeOf(() => closed)).toBe('EBADF')
})

test('PO-16, PO-19, PO-26, PO-27: an exported file is a snapshot of what that access waits for', async () => {
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  using idle = await buffer.exportSyncFile('read-write')
  expect([idle.fence.status, idle.info().fences.length]).toEqual(['signalled', 1])
  buffer.reservation.add(timeline.createFence(), 'read')
  using forReader = await buffer.exportSyncFile('read')
  using forWriter = await buffer.exportSyncFile('write')
  expect([forReader.fence.status, forWriter.fence.status]).toEqual(['signalled', 'pending'])
  buffer.reservation.add(timeline.createFence(), 'write')
  timeline.signal(1)
  expect(forWriter.fence.status).toBe('signalled')
  expect(ready(buffer)).toBe('--')
})

test('PO-22, PO-23, PO-28, PO-32, PO-33: imports hold up as their access says, members one by one', async () => {
  using buffer = heap.allocateSync(4096)
  using first = new Timeline()
  using second = new Timeline()
  using a = SyncFile.from(first.createFence())
  using b = SyncFile.from(second.createFence())
  using both = SyncFile.merge(a, b)
  await buffer.importSyncFile(both, 'read')
  expect(ready(buffer)).toBe('r-')
  using exported = await buffer.exportSyncFile('write')
  expect(exported.info().fences).toHaveLength(2)
  await buffer.importSyncFile(a, 'write')
  expect(ready(buffer)).toBe('--')
  first.signal(1)
  expect(ready(buffer)).toBe('r-')
  second.signal(1)
  expect(ready(buffer)).toBe('rw')
})

test('PO-25: one signal releases every buffer that the fence was imported into', async () => {
  using one = heap.allocateSync(4096)
  using two = heap.allocateSync(4096)
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence())
  await one.importSyncFile(file, 'write')
  await two.importSyncFile(file, 'read')
  expect([ready(one), ready(two)]).toEqual(['--', 'r-'])
  timeline.signal(1)
  expect([ready(one), ready(two)]).toEqual(['rw', 'rw'])
})

test('a device that maps waits for those who move the memory, and for nobody else', async () => {
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  const attachment = await buffer.attach(new Device('display'))
  buffer.reservation.add(new Timeline().createFence(), 'write')
  const first = await attachment.map('to-device')
  first.unmap()
  buffer.reservation.add(timeline.createFence(), 'kernel')
  let mapped = false
  const mapping = attachment.map('to-device').then((table) => {
    mapped = true
    return table
  })
  await new Promise(setImmediate)
  expect(mapped).toBe(false)
  timeline.signal(1)
  const table = await mapping
  table.unmap()
  attachment.detach()
})

test('a holder waits for the fences of the exporter, and the exporter for those of a holder', async () => {
  await using fencer = Fencer.fork()
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  await fencer.ask('holdBuffer', {}, [], [buffer])
  expect((await fencer.ask('beginSync')).message['code']).toBeUndefined()
  buffer.reservation.add(timeline.createFence(), 'write')
  expect((await fencer.ask('beginSync')).message['code']).toBe('EAGAIN')
  const begun = fencer.ask('begin')
  const signalledAt = await new Promise<bigint>((resolve) =>
    setTimeout(() => {
      const at = process.hrtime.bigint()
      timeline.signal(1)
      resolve(at)
    }, 50),
  )
  expect(BigInt(String((await begun).message['at']))).toBeGreaterThan(signalledAt)
  await fencer.ask('import', { access: 'read' })
  expect(ready(buffer)).toBe('r-')
  const writing = buffer.beginCpuAccess('write')
  await fencer.ask('signal', { seqno: 1 })
  ;(await writing).end()
  await fencer.ask('dropBuffer')
})

test('a holder exports what the exporter has, and imports into it for other holders', async () => {
  await using one = Fencer.fork()
  await using two = Fencer.fork()
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  for (const fencer of [one, two]) await fencer.ask('holdBuffer', {}, [], [buffer])
  const idle = await one.ask('export', { access: 'write' })
  expect(idle.fences[0]?.fence.status).toBe('signalled')
  await one.ask('import', { access: 'write' })
  buffer.reservation.add(timeline.createFence(), 'read')
  const { fences } = await two.ask('export', { access: 'write' })
  expect(fences[0]?.info().fences.map(({ timelineName }) => timelineName)).toEqual(
    expect.arrayContaining(['of the fencer']),
  )
  expect(fences[0]?.info().fences).toHaveLength(2)
  const reader = two.ask('poll', { access: 'read' })
  await one.ask('signal', { seqno: 1 })
  await reader
  expect((await two.ask('beginSync', { access: 'write' })).message['code']).toBe('EAGAIN')
  timeline.signal(1)
  await two.ask('poll', { access: 'write' })
  for (const file of [...fences, ...idle.fences]) file.close()
})

test('the death of a holder ends the fences that it owed', async () => {
  const fencer = Fencer.fork()
  using buffer = heap.allocateSync(4096)
  await fencer.ask('holdBuffer', {}, [], [buffer])
  await fencer.ask('import', { access: 'write' })
  expect(ready(buffer)).toBe('--')
  using file = await buffer.exportSyncFile('read')
  const begun = buffer.beginCpuAccess('read')
  await fencer.kill()
  ;(await begun).end()
  expect(file.fence.error).toBe(-130)
  expect(ready(buffer)).toBe('rw')
  await fencer.channel.close()
})

test('the death of the exporter stops nobody from looking at the memory', async () => {
  const exporter = Fencer.fork()
  const { buffers } = await exporter.ask('allocate')
  const buffer = buffers[0] as DmaBuf
  await exporter.ask('import', { access: 'write' })
  await until(() => ready(buffer) === '--', 'the holder sees the fence')
  const begun = buffer.beginCpuAccess('read')
  await exporter.kill()
  ;(await begun).end()
  expect(await codeOf(() => buffer.exportSyncFile('read'))).toBe('ENODEV')
  expect(codeNow(() => buffer.reservation)).toBe('EINVAL')
  buffer.close()
  await exporter.channel.close()
})

test('poll looks again: what came while it waited is waited for, too', async () => {
  using buffer = heap.allocateSync(4096)
  using first = new Timeline()
  using second = new Timeline()
  buffer.reservation.add(first.createFence(), 'write')
  let ready = false
  const polled = buffer.poll('read').then(() => {
    ready = true
  })
  await new Promise(setImmediate)
  buffer.reservation.add(second.createFence(), 'write')
  first.signal(1)
  await new Promise(setImmediate)
  expect(ready).toBe(false)
  second.signal(1)
  await polled
})

test('a bracket that is closed while it waits was never begun: nobody has forgotten to end it', async () => {
  const warnings: unknown[] = []
  const warn = (warning: unknown) => warnings.push(warning)
  process.on('warning', warn)
  const told: string[] = []
  const buffer = DmaBuf.export({
    ...{ exporterName: 'mine', fd: memfd(4096, WRITABLE_SEALS), byteLength: 4096 },
    ops: {
      beginCpuAccess: () => told.push('begin'),
      endCpuAccess: () => told.push('end'),
      release: () => {},
    },
  })
  using timeline = new Timeline()
  const other = wrap(coreOf(buffer))
  buffer.reservation.add(timeline.createFence(), 'write')
  const writing = buffer.beginCpuAccess('write')
  const reading = buffer.beginCpuAccess('read')
  buffer.close()
  expect(bufinfo()[0]).toMatchObject({ openBrackets: 0, openWriteBrackets: 0 })
  expect(bufinfo()[0]?.bracketFaults.unended).toBe(0)
  timeline.signal(1)
  expect(await codeOf(() => writing)).toBe('EBADF')
  expect(await codeOf(() => reading)).toBe('EBADF')
  expect([told, warnings]).toEqual([[], []])
  process.off('warning', warn)
  other.close()
})

test('what was asked for counts, whatever becomes of the options while a bracket waits', async () => {
  using buffer = heap.allocateSync(4096)
  using timeline = new Timeline()
  buffer.reservation.add(timeline.createFence(), 'write')
  const options = { offset: 64, length: 64 }
  const begin = buffer.beginCpuAccess('read', options)
  options.length = 128
  timeline.signal(1)
  using cpu = await begin
  expect([cpu.offset, cpu.length]).toEqual([64, 64])
})

test('a buffer keeps so many pending fences, its exporter own imports included', async () => {
  using buffer = heap.allocateSync(4096)
  const timelines = Array.from({ length: limits.maxFencesPerBuffer + 1 }, () => new Timeline())
  const files = timelines.map((timeline) => SyncFile.from(timeline.createFence()))
  const last = files.pop() as SyncFile
  for (const file of files) await buffer.importSyncFile(file, 'read')
  expect(await codeOf(() => buffer.importSyncFile(last, 'read'))).toBe('ENOBUFS')
  for (const timeline of timelines) timeline.close()
  await buffer.importSyncFile(last, 'read')
})
