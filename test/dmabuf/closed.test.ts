import { expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import {
  bufinfo,
  CpuAccess,
  DmaBuf,
  Kmap,
  MappedRange,
  type SyncFile,
  SystemHeap,
  Vmap,
} from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeOf } from '../support/fails.ts'

const heap = new SystemHeap()

useCensus()

async function closedBuffer(): Promise<DmaBuf> {
  const buffer = await heap.allocate(4097, { name: 'gone' })
  buffer.close()
  return buffer
}

const refused: Record<string, (buffer: DmaBuf) => unknown> = {
  fd: (buffer) => buffer.fd,
  frozen: (buffer) => buffer.frozen,
  same: (buffer) => buffer.same(buffer),
  reservation: (buffer) => buffer.reservation,
  exportSyncFile: (buffer) => buffer.exportSyncFile('read'),
  importSyncFile: (buffer) => buffer.importSyncFile({} as SyncFile, 'read'),
  poll: (buffer) => buffer.poll('read'),
  beginCpuAccess: (buffer) => buffer.beginCpuAccess('read'),
  beginCpuAccessSync: (buffer) => buffer.beginCpuAccessSync('read'),
  withCpuAccess: (buffer) => buffer.withCpuAccess('read', () => expect.unreachable()),
  withCpuAccessSync: (buffer) => buffer.withCpuAccessSync('read', () => expect.unreachable()),
  mmap: (buffer) => buffer.mmap(),
  vmap: (buffer) => buffer.vmap(),
  guard: (buffer) => buffer.guard(),
  attach: (buffer) => buffer.attach(new Device('display')),
  fix: (buffer) => buffer.fix(),
  freeze: (buffer) => buffer.freeze(),
  refresh: (buffer) => buffer.refresh(),
  revoke: (buffer) => buffer.revoke(),
}

test.each(Object.entries(refused))('%s of a closed buffer is EBADF', async (_, use) => {
  const buffer = await closedBuffer()
  expect(await codeOf(() => use(buffer))).toBe('EBADF')
})

test('what a closed buffer was can still be asked', async () => {
  const buffer = await closedBuffer()
  const { name, byteLength, offset, exporterName, sharing, role, closed, revoked, zeroCopy } = buffer
  expect({ name, byteLength, offset, exporterName, sharing, role, closed, revoked, zeroCopy }).toEqual({
    name: 'gone',
    byteLength: 4097,
    offset: 0,
    exporterName: 'system',
    sharing: 'writable',
    role: 'exporter',
    closed: true,
    revoked: false,
    zeroCopy: true,
  })
})

test('every member of a buffer is in one of these lists', async () => {
  const asked = [
    'name',
    'byteLength',
    'offset',
    'exporterName',
    'sharing',
    'role',
    'closed',
    'revoked',
    'zeroCopy',
    'coherency',
  ]
  const members = Object.getOwnPropertyNames(DmaBuf.prototype).filter((name) => name !== 'constructor')
  expect(members.sort()).toEqual([...Object.keys(refused), ...asked, 'close'].sort())
})

test('closing and disposing again does nothing', async () => {
  const buffer = await closedBuffer()
  buffer.close()
  buffer[Symbol.dispose]()
  await buffer[Symbol.asyncDispose]()
  expect(bufinfo()).toEqual([])
})

test('an access and a range end with their buffer', async () => {
  const buffer = await heap.allocate(4096)
  const cpu = buffer.beginCpuAccessSync('read')
  const range = buffer.mmap()
  buffer.close()
  expect([cpu.ended, range.closed]).toEqual([true, true])
  for (const use of [() => cpu.bytes, () => cpu.copy(), () => cpu.text(), () => range.bytes]) {
    expect(await codeOf(use)).toBe('EBADF')
  }
  cpu.end()
  cpu.end()
  range.close()
  expect([cpu.access, cpu.offset, cpu.length, cpu.interrupted]).toEqual(['read', 0, 4096, false])
})

test('an ended access gives nothing more', async () => {
  using buffer = await heap.allocate(4096)
  const cpu = buffer.beginCpuAccessSync('write')
  cpu[Symbol.dispose]()
  await cpu[Symbol.asyncDispose]()
  expect(cpu.ended).toBe(true)
  for (const use of [() => cpu.bytes, () => cpu.copy(), () => cpu.text()])
    expect(await codeOf(use)).toBe('EBADF')
})

test('methods on a wrong receiver throw, and touch nothing', async () => {
  using buffer = await heap.allocate(4096)
  using cpu = buffer.beginCpuAccessSync('read')
  using range = buffer.mmap()
  using map = buffer.vmap()
  using page = cpu.kmap(0)
  await using pool = await heap.pool({ byteLength: 1, buffers: 1 })
  const objects = [buffer, cpu, range, map, page, pool]
  for (const object of objects) {
    const prototype = Object.getPrototypeOf(object) as object
    const strangers = [
      {},
      Object.create(object),
      new Proxy(object, {}),
      null,
      1,
      ...objects.filter((o) => o !== object),
    ]
    for (const [name, { get, value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (name === 'constructor') continue
      for (const stranger of strangers) {
        // As for JavaScript's own classes it is a TypeError; what answers without looking at its receiver may.
        const call = async () => Reflect.apply((get ?? value) as () => unknown, stranger, [])
        await call().catch((error) => expect(error).toBeInstanceOf(Error))
      }
    }
  }
  expect(await codeOf(() => buffer.same({} as DmaBuf))).toBe('EINVAL')
  expect(await codeOf(() => buffer.same(Object.create(buffer) as DmaBuf))).toBe('EINVAL')
  expect([buffer.closed, cpu.ended, range.closed, pool.available]).toEqual([false, false, false, 1])
})

test('the classes cannot be made by hand', () => {
  expect(() => Reflect.construct(DmaBuf, [])).toThrow('was not made by this library')
  expect(() => Reflect.construct(Vmap, [])).toThrow()
  // These fail sooner or later: there is nothing behind them.
  for (const Class of [CpuAccess, Kmap, MappedRange]) {
    expect(() => (Reflect.construct(Class, []) as { bytes: unknown }).bytes).toThrow()
  }
})
