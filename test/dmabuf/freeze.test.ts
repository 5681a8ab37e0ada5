import { expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { DmaBuf, SystemHeap } from '../../src/index.ts'
import { MapKind } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, failure } from '../support/fails.ts'

const heap = new SystemHeap()

useCensus()

test('frozen memory keeps its contents, and nobody writes it any more', async () => {
  using buffer = await heap.allocate(4096, { sharing: 'read-only' })
  const old = buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(6))
  using range = buffer.mmap({ offset: 8, length: 8 })
  const ranged = range.bytes
  expect(buffer.frozen).toBe(false)
  buffer.freeze()
  expect(buffer.frozen).toBe(true)
  expect([old.length, ranged.length, range.closed]).toEqual([0, 0, true])
  expect(codeNow(() => range.bytes)).toBe('EBADF')
  expect(codeNow(() => buffer.beginCpuAccessSync('write'))).toBe('EACCES')
  expect(codeNow(() => buffer.beginCpuAccessSync('read-write'))).toBe('EACCES')
  expect(addon().map(buffer.fd, 0, 4096, MapKind.shared)).toBe(-1)
  using cpu = buffer.beginCpuAccessSync('read')
  expect(cpu.bytes.every((byte) => byte === 6)).toBe(true)
  expect(cpu.text('latin1', { length: 2 })).toBe('\x06\x06')
})

test('freezing again does nothing', async () => {
  using buffer = await heap.allocate(4096, { sharing: 'read-only' })
  buffer.freeze()
  const bytes = buffer.withCpuAccessSync('read', (cpu) => cpu.bytes)
  buffer.freeze()
  expect(bytes.length).toBe(4096)
})

test('a store into a frozen view stays in this process until refresh() drops it', async () => {
  using buffer = await heap.allocate(8192, { sharing: 'read-only' })
  buffer.freeze()
  using importer = DmaBuf.fromFd(buffer.fd)
  const bytes = buffer.withCpuAccessSync('read', (cpu) => cpu.bytes)
  bytes[5000] = 1
  expect(importer.withCpuAccessSync('read', (cpu) => cpu.bytes[5000])).toBe(0)
  expect(bytes[5000]).toBe(1)
  buffer.refresh()
  expect([bytes.length, bytes[5000]]).toEqual([8192, 0])
})

test('an open bracket of any wrapper holds freeze() off', async () => {
  using buffer = await heap.allocate(4096, { sharing: 'read-only' })
  using second = wrap(coreOf(buffer))
  using cpu = second.beginCpuAccessSync('write')
  const error = await failure(() => buffer.freeze())
  expect([error.code, buffer.frozen]).toEqual(['EBUSY', false])
  cpu.bytes[0] = 3
  cpu.end()
  buffer.freeze()
  expect(second.frozen).toBe(true)
  expect(codeNow(() => second.beginCpuAccessSync('write'))).toBe('EACCES')
})

test('what others can write cannot be frozen', async () => {
  using buffer = await heap.allocate(4096)
  const error = await failure(() => buffer.freeze())
  expect([error.code, buffer.frozen]).toEqual(['EPERM', false])
  expect(error.message).toContain("it is shared as 'writable'")
  using foreign = DmaBuf.fromFd(buffer.fd)
  expect(codeNow(() => foreign.freeze())).toBe('EPERM')
})

test('what came from elsewhere is not sealed behind the back of its owner', async () => {
  using owner = await heap.allocate(4096, { sharing: 'read-only' })
  using importer = DmaBuf.fromFd(owner.fd)
  expect(codeNow(() => importer.freeze())).toBe('EPERM')
  const fd = addon().memfdCreate('foreign', 0)
  addon().allocate(fd, 4096)
  using unsealed = DmaBuf.fromFd(fd, { trust: 'unsealed', access: 'read' })
  expect(codeNow(() => unsealed.freeze())).toBe('EPERM')
  expect(addon().getSeals(fd) & 0x1f).toBe(0)
  addon().close(fd)
})

test('memory that is still mapped for writing is not frozen, and not writable here any more', async () => {
  using buffer = await heap.allocate(4096, { sharing: 'read-only' })
  // A second mapping, as memory that was transferred away with its ArrayBuffer would be one.
  const other = coreOf(buffer).mapping.duplicate(0, 4096)
  if (typeof other === 'number') throw new Error(`duplicate: ${other}`)
  const error = await failure(() => buffer.freeze())
  expect([error.code, buffer.frozen]).toEqual(['EPERM', false])
  expect(codeNow(() => buffer.beginCpuAccessSync('write'))).toBe('EACCES')
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes.length)).toBe(4096)
  other.close()
  buffer.freeze()
  expect(buffer.frozen).toBe(true)
})
