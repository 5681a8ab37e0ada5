import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Device, DmaEngine, PhysicalMemory, type SgTable } from '../../src/dma.ts'
import {
  type AllocateOptions,
  bufinfo,
  ContiguousHeap,
  DmaBuf,
  type ExporterOps,
  memoryBudget,
  SystemHeap,
} from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'

useCensus()

const memory = new PhysicalMemory()
const heap = new SystemHeap({ memory })
const SIZE = 4 << 20

const anywhere = () => new Device('anywhere')
const contiguous = () => new Device('contiguous', { maxSegments: 1 })
const low = () => new Device('low', { dmaMask: 0xffff_ffffn, maxSegments: 1 })

function movable(extra: AllocateOptions = {}): Promise<DmaBuf> {
  return heap.allocate(SIZE, { name: 'frame', movable: true, ...extra })
}

function infoOf(name = 'frame') {
  const info = bufinfo().find((each) => each.name === name)
  if (info === undefined) throw new Error(`no buffer ${name}`)
  return info
}

async function mapOnce(buffer: DmaBuf, device: Device): Promise<SgTable> {
  const attachment = await buffer.attach(device)
  const table = await attachment.map('bidirectional')
  attachment.detach()
  return table
}

test('a placed buffer has neither pages nor storage before its first use', async () => {
  const before = memory.stats()
  using buffer = await movable()
  using attachment = await buffer.attach(contiguous())
  expect(infoOf()).toMatchObject({ fd: -1, generation: 0, placed: true })
  expect(memory.stats()).toEqual(before)
  expect(codeNow(() => buffer.beginCpuAccessSync('read'))).toBe('EAGAIN')
  expect(codeNow(() => buffer.mmap())).toBe('EAGAIN')
  using cpu = await buffer.beginCpuAccess('read')
  expect([cpu.bytes.length, infoOf().generation]).toEqual([SIZE, 1])
  // The CPU came first, but the device that was attached by then was asked.
  using table = await attachment.map('to-device')
  expect([table.length, infoOf().moves.moves]).toEqual([1, 0])
})

test('who attaches before the first use gets memory that suits all, and nothing ever moves', async () => {
  using buffer = await movable()
  const devices = [anywhere(), contiguous(), low()]
  const attachments = await Promise.all(devices.map((device) => buffer.attach(device)))
  const tables = await Promise.all(attachments.map((attachment) => attachment.map('bidirectional')))
  expect(tables.map(({ length }) => length)).toEqual([1, 1, 1])
  expect(infoOf().moves.moves).toBe(0)
  for (const attachment of attachments) attachment.detach()
})

test('a late device that the memory does not suit makes it move: contents and views stay, addresses too', async () => {
  using buffer = await movable()
  const access = await buffer.beginCpuAccess('write')
  const { bytes } = access
  for (let at = 0; at < SIZE; at += 4096) bytes[at] = at / 4096
  bytes[SIZE - 1] = 77
  access.end()
  using range = buffer.mmap({ offset: 8192, length: 4096 })
  const window = range.bytes
  const first = await mapOnce(buffer, anywhere())
  expect(first.moved).toBe(false)
  using attachment = await buffer.attach(contiguous())
  using table = await attachment.map('to-device')
  expect(table.length).toBe(1)
  expect(infoOf()).toMatchObject({ generation: 2, moves: { moves: 1, bytesMoved: SIZE } })
  expect([bytes.length, bytes[SIZE - 1], bytes[5 * 4096]]).toEqual([SIZE, 77, 5])
  await buffer.withCpuAccess('write', (cpu) => {
    expect(cpu.bytes.buffer).toBe(bytes.buffer)
    cpu.bytes[8192] = 200
  })
  expect([bytes[8192], window[0]]).toEqual([200, 200])
  expect((await new DmaEngine(attachment.device).read(table, 8192, 1))[0]).toBe(200)
})

test.each(['writable', 'read-only'] as const)(
  '%s memory that is ready for its next move moves into it',
  async (sharing) => {
    using buffer = await movable({ sharing, prepareMove: true })
    const { used } = memoryBudget()
    await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(3))
    // The storage and its spare.
    expect(memoryBudget().used - used).toBe(2 * SIZE)
    const before = infoOf().fd
    await mapOnce(buffer, anywhere())
    await mapOnce(buffer, contiguous())
    expect([infoOf().moves.moves, infoOf().fd !== before]).toEqual([1, true])
    expect(await buffer.withCpuAccess('read', (cpu) => cpu.bytes.every((byte) => byte === 3))).toBe(true)
  },
)

test('read-only memory moves as well, and stays read-only for the others', async () => {
  using buffer = await movable({ sharing: 'read-only' })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(4))
  using attachment = await buffer.attach(contiguous())
  using table = await attachment.map('to-device')
  expect((await new DmaEngine(attachment.device).read(table, SIZE - 4, 4)).join()).toBe('4,4,4,4')
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(5))
  table.unmap()
  buffer.freeze()
  expect([buffer.frozen, buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[9])]).toEqual([true, 5])
})

test('an importer is told at its next map whether the buffer moved in between', async () => {
  using buffer = await movable()
  using attachment = await buffer.attach(anywhere())
  const first = await attachment.map('to-device')
  first.unmap()
  const again = await attachment.map('to-device')
  again.unmap()
  await mapOnce(buffer, low())
  using third = await attachment.map('to-device')
  expect([first.moved, again.moved, third.moved]).toEqual([false, false, third.generation > first.generation])
  expect(third.moved).toBe(infoOf().moves.moves > 0)
})

test("with lateAttach: 'busy' a device that comes too late is refused, one that fits is not", async () => {
  using buffer = await movable({ lateAttach: 'busy' })
  await buffer.withCpuAccess('write', () => {})
  const error = await failure(() => buffer.attach(contiguous()))
  expect(error).toMatchObject({ code: 'EBUSY', rule: 'contiguous', needed: '1 segment' })
  using attachment = await buffer.attach(anywhere())
  using table = await attachment.map('to-device')
  expect(table.length).toBeGreaterThan(1)
})

test('delayed allocation alone places by all who are attached, and then stays', async () => {
  using buffer = await heap.allocate(SIZE, { delayed: true, name: 'frame' })
  using attachment = await buffer.attach(contiguous())
  using table = await attachment.map('to-device')
  expect([table.length, infoOf().placed, buffer.fd >= 0]).toEqual([1, false, true])
  using late = await buffer.attach(new Device('24 bits', { dmaMask: 0xff_ffffn }))
  const error = await failure(() => late.map('to-device'))
  expect(error).toMatchObject({ code: 'EINVAL', rule: 'address-range' })
})

test('a move waits for brackets and for the maps of others', async () => {
  using buffer = await movable()
  using cpu = await buffer.beginCpuAccess('write')
  using holding = await buffer.attach(anywhere())
  const held = await holding.map('to-device')
  using attachment = await buffer.attach(contiguous())
  let done = false
  const mapping = attachment.map('to-device').then((table) => {
    done = true
    return table
  })
  await delay(20)
  expect(done).toBe(false)
  held.unmap()
  await delay(20)
  expect(done).toBe(false)
  cpu.bytes[0] = 1
  cpu.end()
  using table = await mapping
  expect(table.length).toBe(1)
})

test('no bracket is entered while the buffer moves, and begin waits for it', async () => {
  using buffer = await movable({ moveTimeout: 60_000 })
  const cpu = await buffer.beginCpuAccess('write')
  using attachment = await buffer.attach(contiguous())
  const mapping = attachment.map('to-device')
  await delay(20)
  // Inside a bracket another one is entered at once: it excludes moves already.
  buffer.beginCpuAccessSync('read').end()
  cpu.end()
  const begun = buffer.beginCpuAccess('read')
  const table = await mapping
  using second = await begun
  expect(second.bytes.length).toBe(SIZE)
  table.unmap()
})

test('a bracket that does not end fails the map after moveTimeout, and nothing has changed', async () => {
  using buffer = await movable({ moveTimeout: 30 })
  using cpu = await buffer.beginCpuAccess('write')
  cpu.bytes[7] = 9
  using attachment = await buffer.attach(contiguous())
  const free = memory.stats()
  const error = await failure(() => attachment.map('to-device'))
  expect(error).toMatchObject({ code: 'EBUSY' })
  expect(error.message).toContain('a CPU access of this process is open')
  expect(memory.stats()).toEqual(free)
  cpu.end()
  using table = await attachment.map('to-device')
  expect((await new DmaEngine(attachment.device).read(table, 7, 1))[0]).toBe(9)
})

test('a map that is aborted while it waits leaves everything as it was', async () => {
  using buffer = await movable({ moveTimeout: 60_000 })
  using holding = await buffer.attach(anywhere())
  const held = await holding.map('to-device')
  using attachment = await buffer.attach(contiguous())
  const stop = new AbortController()
  const mapping = attachment.map('to-device', { signal: stop.signal })
  const queued = attachment.map('to-device', { signal: stop.signal })
  await delay(10)
  stop.abort()
  expect([await codeOf(() => mapping), await codeOf(() => queued)]).toEqual(['ABORT_ERR', 'ABORT_ERR'])
  expect([held.closed, infoOf().moves.moves]).toEqual([false, 0])
})

test('a dynamic importer does not hold the buffer: it is told, and its table is stale', async () => {
  using buffer = await movable()
  const device = anywhere()
  let told = 0
  using dynamic = await buffer.attach(device, { moveNotify: () => told++ })
  const table = await dynamic.map('bidirectional')
  const engine = new DmaEngine(device)
  await engine.write(table, 0, new Uint8Array([1, 2, 3]))
  using attachment = await buffer.attach(contiguous())
  using moved = await attachment.map('to-device')
  expect([told, moved.length]).toEqual([1, 1])
  expect(await codeOf(() => engine.read(table, 0, 3))).toBe('ESTALE')
  table.unmap()
  using fresh = await dynamic.map('bidirectional')
  expect([fresh.moved, (await engine.read(fresh, 0, 3)).join()]).toEqual([true, '1,2,3'])
})

test('a pinned buffer does not move; only a dynamic importer may pin', async () => {
  using buffer = await movable({ moveTimeout: 30 })
  using dynamic = await buffer.attach(anywhere(), { moveNotify: () => {} })
  using persistent = await buffer.attach(contiguous())
  expect(await codeOf(() => persistent.pin())).toBe('EINVAL')
  await dynamic.pin()
  await dynamic.pin()
  dynamic.unpin()
  // The pin placed it where the attached devices all reach it; another one comes too late.
  using late = await buffer.attach(new Device('24 bits', { dmaMask: 0xff_ffffn }))
  expect(await codeOf(() => late.map('to-device'))).toBe('EBUSY')
  dynamic.unpin()
  using table = await late.map('to-device')
  expect(table.moved).toBe(false)
})

test('devices without any memory in common make it go to and fro', async () => {
  using buffer = await movable()
  const small = () => new Device('small', { dmaMask: 0xff_ffffn })
  // Runs of 2 MiB at least, and nothing below 16 MiB has them free.
  using shattered = memory.fragment({ longest: 65_536, zone: 'dma' })
  expect(shattered).toBeDefined()
  const large = () => new Device('large', { minSegmentSize: 2 << 20 })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(6))
  for (let round = 1; round <= 3; round++) {
    await mapOnce(buffer, small())
    await mapOnce(buffer, large())
  }
  expect(infoOf().moves.moves).toBeGreaterThanOrEqual(5)
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes.every((byte) => byte === 6))).toBe(true)
})

test('reading fd fixes a buffer for good', async () => {
  using buffer = await movable()
  expect(buffer.fd).toBeGreaterThan(2)
  using attachment = await buffer.attach(contiguous())
  expect(await codeOf(() => attachment.map('to-device'))).toBe('EINVAL')
  await buffer.fix()
  expect(infoOf().placed).toBe(false)
})

test('memory transferred away with its ArrayBuffer does not stop a move', async () => {
  using buffer = await movable()
  const access = await buffer.beginCpuAccess('write')
  access.bytes[0] = 5
  const stolen = structuredClone(access.bytes.buffer, {})
  access.end()
  expect(new Uint8Array(stolen as ArrayBuffer)[0]).toBe(5)
  await mapOnce(buffer, contiguous())
  expect(await buffer.withCpuAccess('read', (cpu) => cpu.bytes[0])).toBe(5)
})

test('an exporter of its own may export before there is storage, and move the contents its own way', async () => {
  const moves: [number, number][] = []
  const ops: ExporterOps = {
    move: async (from, to) => {
      moves.push([from.length, to.length])
      await delay(1)
      to.set(from)
      to[0] = 99
    },
    release: () => {},
  }
  using buffer = DmaBuf.export({ exporterName: 'mine', name: 'frame', byteLength: SIZE, ops, memory })
  expect(infoOf()).toMatchObject({ fd: -1, placed: true, exporterName: 'mine' })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(8))
  await mapOnce(buffer, contiguous())
  expect(moves).toEqual([[SIZE, SIZE]])
  expect([...buffer.withCpuAccessSync('read', (cpu) => cpu.bytes.slice(0, 2))]).toEqual([99, 8])
})

test("what the exporter itself asks of the memory is asked of it with the devices' needs", async () => {
  const ops = { release: () => {} }
  const constraints = { dmaMask: 0xff_ffffn }
  using buffer = DmaBuf.export({ exporterName: 'mine', byteLength: 65_536, ops, memory, constraints })
  using attachment = await buffer.attach(anywhere())
  using table = await attachment.map('to-device')
  for (const { dmaAddress, length } of table) expect(Number(dmaAddress) + length).toBeLessThanOrEqual(2 ** 24)
})

test('a move that its exporter cannot make leaves everything as it was', async () => {
  const ops = {
    move: () => {
      throw new Error('the engine is broken')
    },
    release: () => {},
  }
  using buffer = DmaBuf.export({ exporterName: 'mine', name: 'frame', byteLength: SIZE, ops, memory })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(8))
  using attachment = await buffer.attach(contiguous())
  await expect(attachment.map('to-device')).rejects.toThrow('the engine is broken')
  expect([infoOf().generation, await buffer.withCpuAccess('read', (cpu) => cpu.bytes[5])]).toEqual([1, 8])
})

test('a buffer of the contiguous heap suits a contiguous device at once, and its area can be full', async () => {
  const small = new PhysicalMemory({ byteLength: 1 << 30, contiguous: 8 << 20 })
  const area = new ContiguousHeap({ memory: small })
  using buffer = await area.allocate(SIZE, { name: 'cma' })
  expect(buffer.exporterName).toBe('contiguous')
  using attachment = await buffer.attach(low())
  using table = await attachment.map('to-device')
  expect(table.length).toBe(1)
  using shattered = small.fragment({ longest: 1 << 20 })
  expect(shattered).toBeDefined()
  const error = await failure(async () => {
    using second = await area.allocate(SIZE)
    using third = await area.allocate(SIZE)
    return [second, third]
  })
  expect(error).toMatchObject({ code: 'ENOMEM', rule: 'contiguous' })
})
