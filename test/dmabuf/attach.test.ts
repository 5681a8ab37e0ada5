import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, test } from 'vitest'
import { Device, DmaEngine, Iommu } from '../../src/dma.ts'
import { bufinfo, DmaBuf, type ExporterOps, SystemHeap } from '../../src/index.ts'
import { WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { useCensus } from '../support/census.ts'
import { memfd } from '../support/descriptor.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'
import { untilCollected } from '../support/until.ts'

useCensus()

const heap = new SystemHeap()

/** An exporter that writes down what it is asked for, in order. */
function tracing(extra: Partial<ExporterOps> = {}): { buffer: DmaBuf; calls: string[] } {
  const calls: string[] = []
  const ops: ExporterOps = {
    attach: ({ deviceName }) => calls.push(`attach ${deviceName}`),
    detach: ({ deviceName }) => calls.push(`detach ${deviceName}`),
    map: ({ deviceName }, direction) => calls.push(`map ${deviceName} ${direction}`),
    unmap: ({ deviceName }, direction) => calls.push(`unmap ${deviceName} ${direction}`),
    pin: ({ deviceName }) => calls.push(`pin ${deviceName}`),
    unpin: ({ deviceName }) => calls.push(`unpin ${deviceName}`),
    beginCpuAccess: (access, offset, length) => calls.push(`begin ${access} ${offset} ${length}`),
    endCpuAccess: (access, offset, length) => calls.push(`end ${access} ${offset} ${length}`),
    release: () => calls.push('release'),
    ...extra,
  }
  const fd = memfd(8192, WRITABLE_SEALS, 3)
  return { buffer: DmaBuf.export({ exporterName: 'mine', fd, byteLength: 8192, ops }), calls }
}

test('device DMA goes export, attach, map, DMA, unmap, detach, as in the chart of the talk', async () => {
  const { buffer, calls } = tracing()
  const display = new Device('display')
  const attachment = await buffer.attach(display)
  const table = await attachment.map('to-device')
  const bytes = await new DmaEngine(display).read(table, 0, 4)
  calls.push('DMA')
  table.unmap()
  attachment.detach()
  buffer.close()
  expect([...bytes]).toEqual([3, 3, 3, 3])
  const mapped = ['pin display', 'map display to-device', 'DMA', 'unmap display to-device', 'unpin display']
  expect(calls).toEqual(['attach display', ...mapped, 'detach display', 'release'])
})

test('the diagnostics channels tell the same story', async () => {
  const names = ['attached', 'mapped', 'unmapped', 'detached'].map((what) => `dmabuf:attachment:${what}`)
  const seen: [name: string | symbol, message: unknown][] = []
  const note = (message: unknown, name: string | symbol) => seen.push([name, message])
  for (const name of names) subscribe(name, note)
  using buffer = await heap.allocate(4096, { name: 'seen' })
  const attachment = await buffer.attach(new Device('display'))
  const table = await attachment.map('bidirectional')
  table.unmap()
  attachment.detach()
  for (const name of names) unsubscribe(name, note)
  expect(seen.map(([name]) => name)).toEqual(names)
  expect(seen[1]).toMatchObject([names[1], { name: 'seen', device: 'display', direction: 'bidirectional' }])
})

test('a bracket of the exporter tells its ops the range', () => {
  const { buffer, calls } = tracing()
  buffer.withCpuAccessSync('write', () => calls.push('access'), { offset: 16, length: 32 })
  buffer.close()
  expect(calls).toEqual(['begin write 16 32', 'access', 'end write 16 32', 'release'])
})

test('a bracket has ended although the exporter throws at its end', () => {
  const { buffer } = tracing({
    endCpuAccess: () => {
      throw new Error('no')
    },
  })
  const cpu = buffer.beginCpuAccessSync('write')
  expect(() => cpu.end()).toThrow('no')
  expect([cpu.ended, bufinfo().at(-1)?.openBrackets]).toEqual([true, 0])
  buffer.close()
})

test('closing a buffer ends its open brackets towards the exporter too, with all of its bytes', () => {
  const { buffer, calls } = tracing()
  buffer.beginCpuAccessSync('write', { offset: 16, length: 32 })
  buffer.beginCpuAccessSync('read')
  buffer.close()
  const begun = ['begin write 16 32', 'begin read 0 8192']
  expect(calls).toEqual([...begun, 'end read-write 0 8192', 'end read 0 8192', 'release'])
})

test('an exporter that refuses a device is heard, and nothing is attached', async () => {
  const refusing = new Error('not this one')
  const { buffer, calls } = tracing({
    attach: () => {
      throw refusing
    },
  })
  await expect(buffer.attach(new Device('display'))).rejects.toBe(refusing)
  expect(bufinfo().at(-1)?.attachedDevices).toEqual([])
  buffer.close()
  expect(calls).toEqual(['release'])
})

test('a map that the exporter refuses unpins again', async () => {
  const { buffer, calls } = tracing({
    map: () => {
      throw new Error('no')
    },
  })
  const attachment = await buffer.attach(new Device('display'))
  await expect(attachment.map('to-device')).rejects.toThrow('no')
  attachment.detach()
  buffer.close()
  expect(calls).toEqual(['attach display', 'pin display', 'unpin display', 'detach display', 'release'])
})

test('attaching allocates nothing, and several attachments of one device are independent', async () => {
  using buffer = await heap.allocate(16384)
  const device = new Device('display')
  using first = await buffer.attach(device)
  using second = await buffer.attach(device)
  const table = await first.map('to-device')
  second.detach()
  expect([table.closed, first.mapped, second.detached]).toEqual([false, 1, true])
  expect(await codeOf(() => second.map('to-device'))).toBe('EBADF')
  expect(bufinfo().at(-1)?.attachedDevices).toEqual([{ name: 'display', pid: process.pid, mapped: true }])
})

test('detaching unmaps what is still mapped, and both may be done twice', async () => {
  using buffer = await heap.allocate(4096)
  const attachment = await buffer.attach(new Device('display'))
  const table = await attachment.map('to-device')
  attachment.detach()
  attachment.detach()
  table.unmap()
  expect(table.closed).toBe(true)
  expect(codeNow(() => table.at(0))).toBe('EBADF')
  expect(codeNow(() => attachment.unpin())).toBe('EBADF')
})

test('an attachment keeps the buffer after its last DmaBuf was closed', async () => {
  const { buffer, calls } = tracing()
  const device = new Device('display')
  const attachment = await buffer.attach(device)
  buffer.close()
  const table = await attachment.map('bidirectional')
  const engine = new DmaEngine(device)
  await engine.fill(table, 0, 8192, 9)
  expect((await engine.read(table, 8190, 2)).join()).toBe('9,9')
  expect(calls).not.toContain('release')
  attachment.detach()
  expect(calls.at(-1)).toBe('release')
})

test('a forgotten attachment is detached by the collector', async () => {
  const { buffer, calls } = tracing()
  await (async () => {
    const attachment = await buffer.attach(new Device('display'))
    await attachment.map('to-device')
  })()
  buffer.close()
  await untilCollected(() => calls.includes('release'), 'the attachment is gone')
  expect(calls.slice(-4)).toEqual(['unmap display to-device', 'unpin display', 'detach display', 'release'])
})

test('memory that does not suit is refused with the rule, what it needs and what there is', async () => {
  using buffer = await heap.allocate(4 << 20, { name: 'frame' })
  // Placed by the first map, and it does not move.
  using early = await buffer.attach(new Device('anything'))
  using table = await early.map('to-device')
  using attachment = await buffer.attach(new Device('display', { maxSegments: 1 }))
  expect(table.length).toBeGreaterThan(1)
  const error = await failure(() => attachment.map('to-device'))
  expect(error).toMatchObject({ code: 'EINVAL', rule: 'contiguous', needed: '1 segment' })
  expect(error.message).toMatch(
    /^EINVAL: display cannot use buffer frame: contiguous needs 1 segment, got \d+ segments/,
  )
})

test('a device behind an IOMMU gets one range of any pages', async () => {
  using buffer = await heap.allocate(4 << 20)
  const iommu = new Iommu()
  using attachment = await buffer.attach(new Device('gpu', { maxSegments: 1, iommu }))
  using table = await attachment.map('to-device')
  expect([table.length, table.at(0).length]).toEqual([1, 4 << 20])
})

test('an expensive mapping is kept between maps, and given back with the attachment', async () => {
  using buffer = await heap.allocate(1 << 20)
  const iommu = new Iommu()
  const attachment = await buffer.attach(new Device('gpu', { iommu }), { expensiveMap: true })
  const first = await attachment.map('to-device')
  const { dmaAddress } = first.at(0)
  first.unmap()
  const second = await attachment.map('to-device')
  expect([second.at(0).dmaAddress, second.moved]).toEqual([dmaAddress, false])
  attachment.detach()
  expect(iommu.translate(dmaAddress)).toBeUndefined()
})

test('what is not a device, a direction or an option is refused before anything happens', async () => {
  const { buffer, calls } = tracing()
  expect(await codeOf(() => buffer.attach({} as Device))).toBe('EINVAL')
  expect(await codeOf(() => buffer.attach(new Device('a'), { moved: 1 } as object))).toBe('EINVAL')
  using attachment = await buffer.attach(new Device('a'))
  expect(await codeOf(() => attachment.map('sideways' as 'to-device'))).toBe('EINVAL')
  expect(await codeOf(() => attachment.map('to-device', { signal: AbortSignal.abort() }))).toBe('ABORT_ERR')
  buffer.close()
  expect(await codeOf(() => buffer.attach(new Device('a')))).toBe('EBADF')
  expect(calls).toEqual(['attach a'])
})

test('an exporter has both pin and unpin, or neither', async () => {
  const fd = memfd(4096, WRITABLE_SEALS, 0)
  const ops = { release: () => {}, pin: () => {} }
  expect(codeNow(() => DmaBuf.export({ exporterName: 'mine', fd, byteLength: 4096, ops }))).toBe('EINVAL')
})

test('a revoked buffer takes no attachment and no map, and its tables reach nothing', async () => {
  using buffer = await heap.allocate(4096)
  const device = new Device('a')
  using attachment = await buffer.attach(device)
  using table = await attachment.map('to-device')
  buffer.revoke()
  expect(await codeOf(() => buffer.attach(device))).toBe('ENODEV')
  expect(await codeOf(() => attachment.map('to-device'))).toBe('ENODEV')
  expect(await codeOf(() => new DmaEngine(device).read(table, 0, 4))).toBe('ENODEV')
})
