import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { beforeAll, describe, expect, test } from 'vitest'
import { Device, DmaEngine } from '../../src/dma.ts'
import { wrap } from '../../src/dmabuf/dmabuf.ts'
import { exporterCore } from '../../src/dmabuf/export.ts'
import { type DmaBuf, memoryBudget, SystemHeap } from '../../src/index.ts'
import { WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { memfd } from '../support/descriptor.ts'
import { codeNow, codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { warmSharing } from '../support/warm-sharing.ts'

beforeAll(warmSharing)
useCensus()

const heap = new SystemHeap()
const camera = new Device('camera', { coherent: false })
const gpu = new Device('gpu')
const SIZE = 8192

/** Maps for one engine, does something, unmaps. */
async function mapped(
  buffer: DmaBuf,
  device: Device,
  use: (
    dma: (offset: number, value: number) => Promise<void>,
    read: (at: number) => Promise<number>,
  ) => Promise<void>,
) {
  const attachment = await buffer.attach(device)
  const table = await attachment.map('bidirectional')
  const engine = new DmaEngine(device)
  await use(
    (offset, value) => engine.fill(table, offset, 64, value),
    async (at) => (await engine.read(table, at, 1))[0] ?? -1,
  )
  attachment.detach()
}

describe('a non-coherent buffer', () => {
  test('shows a device nothing before the end, and the CPU nothing before the begin', async () => {
    using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent' })
    expect([buffer.coherency, buffer.zeroCopy]).toEqual(['non-coherent', true])
    await mapped(buffer, camera, async (dma, read) => {
      const cpu = buffer.beginCpuAccessSync('read-write')
      const { bytes } = cpu
      bytes[0] = 5
      expect(await read(0)).toBe(0)
      cpu.end()
      expect(await read(0)).toBe(5)
      await dma(64, 7)
      expect(bytes[64]).toBe(0)
      const again = buffer.beginCpuAccessSync('read', { offset: 64, length: 64 })
      expect(again.bytes[0]).toBe(7)
      expect(bytes[64]).toBe(7)
      again.end()
    })
  })

  test('is synchronised by mapping and unmapping when there are no brackets', async () => {
    using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent' })
    const bytes = buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(3))
    await mapped(buffer, camera, async (dma, read) => {
      expect(await read(100)).toBe(3)
      await dma(0, 9)
      expect(bytes[0]).toBe(3)
    })
    expect(bytes[0]).toBe(9)
  })

  test('needs no brackets for a coherent device, which snoops', async () => {
    using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent' })
    const bytes = buffer.withCpuAccessSync('read', (cpu) => cpu.bytes)
    await mapped(buffer, gpu, async (dma, read) => {
      bytes[1] = 4
      expect(await read(1)).toBe(4)
      await dma(64, 6)
      expect(bytes[64]).toBe(6)
    })
  })

  test('takes the hints of V4L2, at brackets and maps', async () => {
    using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent' })
    const bytes = buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(3))
    await using attachment = await buffer.attach(camera)
    using table = await attachment.map('bidirectional', { skipClean: true, skipInvalidate: true })
    const engine = new DmaEngine(camera)
    expect((await engine.read(table, 0, 1))[0]).toBe(0)
    buffer.beginCpuAccessSync('write', { skipClean: true }).end()
    expect((await engine.read(table, 0, 1))[0]).toBe(0)
    await engine.fill(table, 0, 1, 9)
    buffer.beginCpuAccessSync('read', { skipInvalidate: true }).end()
    expect(bytes[0]).toBe(3)
    table.unmap()
    expect(bytes[0]).toBe(3)
    expect(codeNow(() => buffer.beginCpuAccessSync('read', { skipClean: 1 as never }))).toBe('EINVAL')
    expect(await codeOf(() => attachment.map('to-device', { skipInvalidates: true } as never))).toBe('EINVAL')
  })

  test('may be placed: cache and memory move as they are', async () => {
    using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent', movable: true, lineSize: 128 })
    const bytes = await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(3))
    await mapped(buffer, camera, async (dma) => dma(64, 7))
    bytes[0] = 4
    const dsp = new Device('dsp', { coherent: false, maxSegments: 1 })
    const attachment = await buffer.attach(dsp)
    const table = await attachment.map('to-device', { skipClean: true })
    expect(table.generation).toBe(2)
    const engine = new DmaEngine(dsp)
    expect([...(await engine.read(table, 0, 1)), ...(await engine.read(table, 64, 1))]).toEqual([3, 7])
    expect([bytes[0], bytes[64]]).toEqual([4, 7])
    attachment.detach()
  })

  test('takes twice the memory, and its signatures, locks and states', async () => {
    const before = memoryBudget().used
    using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent' })
    expect(memoryBudget().used - before).toBe(2 * SIZE + 4096)
    expect(buffer.byteLength).toBe(SIZE)
  })

  test('refuses what it cannot have', () => {
    const code = (options: object) => codeNow(() => heap.allocateSync(SIZE, options))
    expect(code({ coherency: 'none' })).toBe('EINVAL')
    expect(code({ coherency: 'non-coherent', lineSize: 48 })).toBe('EINVAL')
    expect(code({ coherency: 'non-coherent', lineSize: 8192 })).toBe('EINVAL')
    expect(code({ coherency: 'non-coherent', sharing: 'read-only' })).toBe('EINVAL')
    expect(code({ coherency: 'non-coherent', hugePages: 'transparent' })).toBe('EINVAL')
    expect(code({ coherency: 'non-coherent', seed: -1 })).toBe('EINVAL')
    expect(code({ seed: 1 })).toBe('EINVAL')
    expect(code({ coherency: 'strict', lineSize: 64 })).toBe('EINVAL')
  })

  test('tells the diagnostics channel what happens to its lines', async () => {
    const seen: unknown[] = []
    const note = (message: unknown) => seen.push(message)
    subscribe('dmabuf:cache:lines', note)
    using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent', name: 'frame' })
    await mapped(buffer, camera, async () => {})
    unsubscribe('dmabuf:cache:lines', note)
    expect(seen).toMatchObject([
      { name: 'frame', what: 'clean', ranges: [{ first: 0, last: SIZE / 64 }], dirty: 0 },
      { name: 'frame', what: 'invalidate' },
    ])
  })

  test('comes from a pool as well', async () => {
    await using pool = await heap.pool({ byteLength: SIZE, buffers: 1, coherency: 'non-coherent' })
    for (let round = 0; round < 2; round++) {
      using buffer = await pool.acquire()
      expect(buffer.coherency).toBe('non-coherent')
      await mapped(buffer, camera, async (dma) => dma(0, 5))
      expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(5)
    }
  })
})

test('two processes have one cache between them, and one device past it', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent' })
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('coherency')).message).toMatchObject({ coherency: 'non-coherent', zeroCopy: true })
  const bytes = buffer.withCpuAccessSync('read', (cpu) => cpu.bytes)
  await mapped(buffer, camera, async (dma, read) => {
    // CPUs are coherent among themselves, without any bracket.
    await puppet.ask('bareStore', { at: 0, value: 8 })
    expect(bytes[0]).toBe(8)
    expect(await read(0)).toBe(0)
    // The other process's bracket knows of the device that is mapped in this one.
    await puppet.ask('fill', { value: 2 })
    expect(await read(0)).toBe(2)
    await dma(0, 7)
    expect((await puppet.ask('bareLook', { at: 0 })).message['value']).toBe(2)
    await puppet.ask('begin', { access: 'read' })
    expect((await puppet.ask('bareLook', { at: 0 })).message['value']).toBe(7)
    await puppet.ask('end')
  })
  await puppet.ask('drop')
})

test('a device of another process has the same cache before it, also when the buffer moves', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(SIZE, { coherency: 'non-coherent', movable: true })
  const bytes = await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(3))
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('bareLook', { at: 0 })).message['value']).toBe(3)
  await mapped(buffer, camera, async (dma, read) => {
    expect(await read(0)).toBe(3)
    await dma(0, 7)
    expect(bytes[0]).toBe(3)
  })
  // The unmapping was told of in the file that both have.
  expect((await puppet.ask('bareLook', { at: 0 })).message['value']).toBe(7)
  const dsp = await buffer.attach(new Device('dsp', { coherent: false, maxSegments: 1 }))
  const table = await dsp.map('bidirectional')
  expect(table.generation).toBe(2)
  await new DmaEngine(dsp.device).fill(table, 0, 64, 9)
  await puppet.ask('begin', { access: 'read' })
  await puppet.ask('end')
  expect((await puppet.ask('bareLook', { at: 0 })).message['value']).toBe(9)
  dsp.detach()
  await puppet.ask('drop')
})

test('a file that holds no cache is refused, whatever its exporter says', () => {
  const fd = memfd(3 * SIZE + 4096, WRITABLE_SEALS)
  const wrong = (offset: number, size: number) => {
    const own = addon().duplicate(fd)
    const coherency = 'non-coherent'
    const info = { exporterName: 'hostile', ops: { release: () => {} }, fd: own, offset, byteLength: size }
    const rest = {
      name: '',
      kind: 'memfd',
      sharing: 'writable',
      writable: true,
      charged: 0,
      coherency,
    } as const
    using buffer = wrap(exporterCore({ ...info, ...rest }))
    return codeNow(() => buffer.beginCpuAccessSync('read'))
  }
  // No magic word; too small; not at the beginning.
  expect([wrong(0, SIZE), wrong(0, 4 * SIZE), wrong(4096, 4096)]).toEqual(['EPROTO', 'EPROTO', 'EPROTO'])
  addon().close(fd)
})
