import { beforeAll, describe, expect, test } from 'vitest'
import { Device, DmaEngine } from '../../src/dma.ts'
import { DmaBuf, memoryBudget, SystemHeap, setMemoryBudget, vmemexp } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import {
  blocks,
  bytesOf,
  filledWith,
  MAPPED_BYTES,
  resizable,
  WASM_PAGE,
  wasmMemory,
} from '../support/blocks.ts'
import { sharedMappings, useCensus } from '../support/census.ts'
import { memfd, withFd } from '../support/descriptor.ts'
import { codeOf, failure } from '../support/fails.ts'

const page = addon().pageSize

useCensus()

/** As an importer without any of our words sees the memory: by its descriptor. */
function imported(buffer: DmaBuf): DmaBuf {
  return DmaBuf.fromFd(buffer.fd, { offset: buffer.offset, byteLength: buffer.byteLength })
}

function sync(buffer: DmaBuf): void {
  buffer.withCpuAccessSync('read-write', () => {})
}

describe.each(Object.entries(blocks))('%s', (_, make) => {
  test('keeps its contents, and both sides see what the other stores', async () => {
    const memory = make()
    const bytes = bytesOf(memory)
    bytes.fill(7)
    using buffer = await vmemexp.export(memory, { name: 'exported', lock: false })
    expect(filledWith(bytes, 7)).toBe(true)
    expect(buffer).toMatchObject({
      name: 'exported',
      exporterName: 'vmemexp',
      role: 'exporter',
      sharing: 'writable',
    })
    expect(buffer.byteLength).toBe(bytes.length)
    expect(buffer.offset).toBe(addon().addressOf(bytes) % page)
    using importer = imported(buffer)
    importer.withCpuAccessSync('read-write', (cpu) => {
      expect(filledWith(cpu.bytes, 7)).toBe(true)
      bytes.fill(8)
      sync(buffer)
      expect(filledWith(cpu.bytes, 8)).toBe(true)
      cpu.bytes.fill(9)
      sync(buffer)
      expect(filledWith(bytes, 9)).toBe(true)
    })
  })

  test('is private again after close, with its contents', async () => {
    const memory = make()
    const bytes = bytesOf(memory)
    const before = memoryBudget().used
    const buffer = await vmemexp.export(memory, { lock: false })
    expect(memoryBudget().used).toBeGreaterThan(before)
    using importer = imported(buffer)
    importer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(5))
    buffer.close()
    expect(memoryBudget().used).toBe(before)
    expect(filledWith(bytes, 5)).toBe(true)
    bytes.fill(6)
    importer.withCpuAccessSync('read-write', (cpu) => {
      expect(filledWith(cpu.bytes, 5)).toBe(true)
      cpu.bytes.fill(4)
    })
    expect(filledWith(bytes, 6)).toBe(true)
  })

  test('can be exported again', async () => {
    const memory = make()
    for (let n = 0; n < 5; n++) {
      using buffer = await vmemexp.export(memory, { lock: false })
      bytesOf(memory).fill(n)
      sync(buffer)
      using importer = imported(buffer)
      importer.withCpuAccessSync('read', (cpu) => expect(filledWith(cpu.bytes, n)).toBe(true))
    }
  })
})

test('the same memory again is another wrapper over the same buffer', async () => {
  const memory = vmemexp.allocate(4 * page)
  const first = await vmemexp.export(memory)
  using second = await vmemexp.export(new Uint8Array(memory))
  expect(second).not.toBe(first)
  expect(second.same(first)).toBe(true)
  first.close()
  new Uint8Array(memory)[0] = 3
  second.withCpuAccessSync('read', (cpu) => expect(cpu.bytes[0]).toBe(3))
})

test('a part of exported memory is a buffer over the same file, and outlives the whole', async () => {
  const memory = vmemexp.allocate(8 * page)
  const whole = await vmemexp.export(memory)
  using part = await vmemexp.export(new Uint8Array(memory, 5000, 3000))
  using again = await vmemexp.export(new DataView(memory, 5000, 3000))
  expect([part.offset, part.byteLength, part.same(whole)]).toEqual([5000, 3000, false])
  expect(again.same(part)).toBe(true)
  whole.close()
  using importer = imported(part)
  new Uint8Array(memory)[5001] = 9
  importer.withCpuAccessSync('read', (cpu) => expect(cpu.bytes[1]).toBe(9))
  using later = await vmemexp.export(memory)
  expect(later.byteLength).toBe(8 * page)
})

test('a range that overlaps an export and goes beyond it is refused', async () => {
  const memory = vmemexp.allocate(8 * page)
  using buffer = await vmemexp.export(new Uint8Array(memory, 0, 4 * page))
  expect(buffer.byteLength).toBe(4 * page)
  const error = await failure(() => vmemexp.export(memory))
  expect([error.code, error.errno]).toEqual(['EBUSY', -16])
  using beside = await vmemexp.export(new Uint8Array(memory, 4 * page))
  expect(beside.same(buffer)).toBe(false)
})

test('small and pooled Buffers are refused, and the error says what to do', async () => {
  const small = [Buffer.from('x'), Buffer.alloc(10), Buffer.allocUnsafe(3000), new ArrayBuffer(5000)]
  for (const memory of small) {
    const error = await failure(() => vmemexp.export(memory))
    expect([error.code, error.errno]).toEqual(['EINVAL', -22])
    expect(error.hint).toContain('vmemexp.allocate()')
  }
  expect((await failure(() => vmemexp.export(Buffer.from('x')))).message).toContain('pool')
})

test('what has no bytes, or is no memory, is refused', async () => {
  const detached = resizable(page)
  structuredClone(detached, { transfer: [detached] })
  const wrong: unknown[] = [
    new Uint8Array(),
    new ArrayBuffer(0),
    detached,
    undefined,
    null,
    5,
    'memory',
    {},
    [],
  ]
  for (const memory of wrong) expect(await codeOf(() => vmemexp.export(memory as ArrayBuffer))).toBe('EINVAL')
  expect(await codeOf(() => vmemexp.export(new ArrayBuffer(1), { lok: true } as never))).toBe('EINVAL')
  for (const size of [0, -1, 1.5, '4096']) expect(() => vmemexp.allocate(size as number)).toThrow(/EINVAL/)
})

test('a view of the buffer of a WebAssembly.Memory is refused: whose memory it is cannot be known', async () => {
  const memory = wasmMemory(2)
  expect((await failure(() => vmemexp.export(memory.buffer))).hint).toContain('WebAssembly.Memory')
})

test('less than a page inside a block is refused', async () => {
  const memory = vmemexp.allocate(8 * page)
  const error = await failure(() => vmemexp.export(new Uint8Array(memory, 10, page)))
  expect([error.code, error.hint]).toEqual(['EINVAL', expect.stringContaining('align')])
})

test('nothing is changed and nothing kept when the budget forbids the export', async () => {
  const { budget, used } = memoryBudget()
  const memory = vmemexp.allocate(4 * page)
  try {
    setMemoryBudget(used + page)
    expect(await codeOf(() => vmemexp.export(memory))).toBe('EDQUOT')
  } finally {
    setMemoryBudget(budget)
  }
  expect(memoryBudget().used).toBe(used)
})

test('read-only: the exporter goes on storing, importers cannot', async () => {
  const memory = vmemexp.allocate(4 * page)
  const bytes = new Uint8Array(memory)
  using buffer = await vmemexp.export(memory, { sharing: 'read-only' })
  using importer = imported(buffer)
  expect(await codeOf(() => importer.beginCpuAccess('write'))).toBe('EACCES')
  await withFd(addon().reopen(buffer.fd, 2), (fd) => expect(addon().map(fd, 0, page, 0)).toBeLessThan(0))
  bytes[page] = 3
  importer.withCpuAccessSync('read', (cpu) => expect(cpu.bytes[page]).toBe(3))
  using part = await vmemexp.export(bytes.subarray(page))
  part.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(4))
  importer.withCpuAccessSync('read', (cpu) => expect(cpu.bytes[page]).toBe(4))
})

test('what is exported as writable cannot be had as read-only', async () => {
  const memory = vmemexp.allocate(4 * page)
  using buffer = await vmemexp.export(memory)
  expect(await codeOf(() => vmemexp.export(memory, { sharing: 'read-only' }))).toBe('EPERM')
  expect(buffer.closed).toBe(false)
})

test('memory of a buffer here is found: the same buffer, or a part of it', async () => {
  const heap = new SystemHeap()
  using buffer = await heap.allocate(4 * page)
  using cpu = buffer.beginCpuAccessSync('read-write')
  const { used } = memoryBudget()
  using found = await vmemexp.export(cpu.bytes)
  expect(found.same(buffer)).toBe(true)
  using part = await vmemexp.export(cpu.bytes.subarray(100, 300))
  expect([part.offset, part.byteLength, part.exporterName]).toEqual([100, 200, 'system'])
  expect(memoryBudget().used).toBe(used)
  part.withCpuAccessSync('write', ({ bytes }) => bytes.fill(3))
  expect([cpu.bytes[99], cpu.bytes[100], cpu.bytes[299], cpu.bytes[300]]).toEqual([0, 3, 3, 0])
})

test.each([7, 0])(
  'memory of a memfd (seals %i) is found by a descriptor of this process, not copied',
  async (seals) => {
    await withFd(memfd(4 * page, seals, 6), async (fd) => {
      const mapping = addon().map(fd, page, 2 * page, 0)
      if (typeof mapping === 'number') return expect.unreachable()
      const bytes = new Uint8Array(mapping.view() as ArrayBuffer)
      using found = await vmemexp.export(bytes.subarray(50), { name: 'found' })
      expect([found.offset, found.byteLength, found.name]).toEqual([page + 50, 2 * page - 50, 'found'])
      bytes[60] = 8
      found.withCpuAccessSync('read-write', (cpu) => {
        expect([cpu.bytes[0], cpu.bytes[10]]).toEqual([6, 8])
        cpu.bytes[10] = 9
      })
      expect(bytes[60]).toBe(9)
      mapping.close()
    })
  },
)

test('private copies of the pages of a file are refused', async () => {
  await withFd(memfd(2 * page, 7, 6), async (fd) => {
    const mapping = addon().map(fd, 0, 2 * page, 2)
    if (typeof mapping === 'number') return expect.unreachable()
    expect(await codeOf(() => vmemexp.export(mapping.view() as ArrayBuffer))).toBe('EFAULT')
    mapping.close()
  })
})

test('a resizable block may shrink and grow while it is exported', async () => {
  const memory = resizable(3 * WASM_PAGE, 8 * WASM_PAGE)
  bytesOf(memory).fill(7)
  const buffer = await vmemexp.export(memory)
  memory.resize(5000)
  buffer.withCpuAccessSync('read', ({ bytes }) => expect([bytes[4999], bytes[5000]]).toEqual([7, 0]))
  memory.resize(8 * WASM_PAGE)
  bytesOf(memory).fill(8)
  buffer.withCpuAccessSync('read', ({ bytes }) => expect(filledWith(bytes, 8)).toBe(true))
  memory.resize(5000)
  buffer.close()
  memory.resize(8 * WASM_PAGE)
  bytesOf(memory).fill(9, 5000)
  expect([bytesOf(memory)[4999], bytesOf(memory).at(-1)]).toEqual([8, 9])
})

test('a WebAssembly.Memory may grow while it is exported, and the old pages stay shared', async () => {
  const memory = wasmMemory(2)
  const buffer = await vmemexp.export(memory)
  memory.grow(2)
  bytesOf(memory).fill(5)
  buffer.withCpuAccessSync('read', (cpu) => expect(filledWith(cpu.bytes, 5)).toBe(true))
  buffer.close()
  expect(filledWith(bytesOf(memory), 5)).toBe(true)
})

test('frames are told where the process may know them: of every page, from the first byte on', async () => {
  const memory = vmemexp.allocate(64 * page)
  using buffer = await vmemexp.export(new Uint8Array(memory, 100, 60 * page))
  const frames = vmemexp.frames(buffer)
  if (process.getuid?.() !== 0) return
  expect(frames?.reduce((sum, { length }) => sum + length, 0)).toBe(60 * page)
  expect((frames?.[0]?.address ?? 0) % page).toBe(100)
  expect(frames?.slice(1).every(({ address }) => address % page === 0)).toBe(true)
  using second = imported(buffer)
  expect(vmemexp.frames(second)).toEqual(frames)
})

test('a device gets the exported memory from its first byte on, at its page frames where they are known', async () => {
  const block = Buffer.alloc(MAPPED_BYTES, 3)
  const view = block.subarray(10_000, 10_000 + 5 * page)
  using buffer = await vmemexp.export(view)
  const camera = new Device('camera')
  using attachment = await buffer.attach(camera)
  using table = await attachment.map('bidirectional')
  expect([table.at(0).offset, table.byteLength]).toEqual([buffer.offset % page, 5 * page])
  const frames = vmemexp.frames(buffer)
  if (frames !== undefined) {
    expect([...table].map(({ dmaAddress, length }) => ({ address: Number(dmaAddress), length }))).toEqual(
      frames,
    )
  }
  const engine = new DmaEngine(camera)
  await engine.fill(table, 0, 5 * page, 9)
  table.unmap()
  sync(buffer)
  expect([block[9999], view[0], view[5 * page - 1]]).toEqual([3, 9, 9])
})

test("malloc'ed memory is exported with the offset of its first byte, and its neighbours stay", async () => {
  const block = Buffer.alloc(MAPPED_BYTES, 1)
  const view = block.subarray(10_000, 10_000 + 5 * page)
  const buffer = await vmemexp.export(view)
  expect(buffer.offset).toBe(addon().addressOf(view) % page)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(2))
  buffer.close()
  expect(filledWith(view, 2)).toBe(true)
  expect(filledWith(block.subarray(0, 10_000), 1)).toBe(true)
  expect(filledWith(block.subarray(10_000 + 5 * page), 1)).toBe(true)
})

beforeAll(async () => {
  // The first worker thread or socket is not of this file's making; the handler and /proc are warm from here on.
  const buffer = await vmemexp.export(vmemexp.allocate(page))
  buffer.close()
  expect(sharedMappings()).toEqual([])
})
