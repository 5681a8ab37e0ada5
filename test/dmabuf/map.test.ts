import { constants } from 'node:buffer'
import { ftruncateSync } from 'node:fs'
import { expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { DmaBuf, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { sharedMappings, useCensus } from '../support/census.ts'
import { codeNow, failure } from '../support/fails.ts'

const heap = new SystemHeap()

useCensus()

test('a mapped range begins at any byte and shows the same memory', async () => {
  for (const sharing of ['writable', 'read-only'] as const) {
    using buffer = await heap.allocate(20_000, { sharing })
    using cpu = buffer.beginCpuAccessSync('write')
    using range = buffer.mmap({ offset: 4095, length: 4098 })
    expect([range.offset, range.byteLength, range.bytes.length]).toEqual([4095, 4098, 4098])
    cpu.bytes[4095] = 1
    range.bytes[4097] = 2
    expect([range.bytes[0], cpu.bytes[8192]]).toEqual([1, 2])
    expect(range.bytes.buffer).toBe(range.bytes.buffer)
    expect(range.bytes.buffer).not.toBe(cpu.bytes.buffer)
    using all = buffer.mmap()
    expect([all.offset, all.byteLength, all.bytes[4095]]).toEqual([0, 20_000, 1])
  }
})

test('a range is closed once, by itself or with its buffer, and its views with it', async () => {
  const buffer = await heap.allocate(1 << 20, { name: 'ranged' })
  const lines = () => sharedMappings().filter((line) => line.includes('ranged')).length
  const first = buffer.mmap({ length: 4096 })
  const second = buffer.mmap({ offset: 8192 })
  const [one, two] = [first.bytes, second.bytes]
  expect(lines()).toBe(2)
  first.close()
  first[Symbol.dispose]()
  expect([one.length, two.length, lines(), first.closed, second.closed]).toEqual([
    0,
    (1 << 20) - 8192,
    1,
    true,
    false,
  ])
  expect(codeNow(() => first.bytes)).toBe('EBADF')
  buffer.close()
  expect([two.length, lines(), second.closed]).toEqual([0, 0, true])
  second.close()
})

test('a range ends with the last wrapper at the latest', async () => {
  using buffer = await heap.allocate(4096)
  const second = wrap(coreOf(buffer))
  const range = second.mmap()
  second.close()
  expect(range.closed).toBe(true)
  expect(codeNow(() => range.bytes)).toBe('EBADF')
  range.close()
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes.length)).toBe(4096)
})

/** 5 GiB that take no memory: sealed against shrinking, and full of holes. */
function sparse(byteLength: number): number {
  const fd = addon().memfdCreate('sparse', 0)
  ftruncateSync(fd, byteLength)
  expect(addon().addSeals(fd, 7)).toBe(0)
  return fd
}

const big = 5 * 2 ** 30

test('a buffer beyond 4 GiB is bracketed, copied and mapped in ranges', async () => {
  const fd = sparse(big)
  using buffer = DmaBuf.fromFd(fd)
  expect(buffer.byteLength).toBe(big)
  using cpu = buffer.beginCpuAccessSync('write', { offset: big - 5000 })
  cpu.bytes[4999] = 7
  expect(cpu.bytes.length).toBe(5000)
  expect([...cpu.copy({ offset: 4998 }).bytes]).toEqual([0, 7])
  expect(cpu.text('hex', { offset: 4999 })).toBe('07')
  using range = buffer.mmap({ offset: big - 1 })
  expect([...range.bytes]).toEqual([7])
  using none = buffer.beginCpuAccessSync('read', { length: 0 })
  expect([none.bytes.length, none.copy().bytes.length]).toEqual([0, 0])
  const mappings = sharedMappings().length
  cpu.end()
  // Where one ArrayBuffer cannot show all of it, the access has a mapping of its own.
  expect(sharedMappings()).toHaveLength(big > constants.MAX_LENGTH ? mappings - 1 : mappings)
  addon().close(fd)
})

test.runIf(big > constants.MAX_LENGTH)(
  'showing all of it at once is an EFBIG that says what to do',
  async () => {
    const fd = sparse(big)
    using buffer = DmaBuf.fromFd(fd)
    using cpu = buffer.beginCpuAccessSync('read')
    for (const use of [() => cpu.bytes, () => buffer.mmap(), () => buffer.mmap({ offset: 4096 })]) {
      const error = await failure(use)
      expect(error.code).toBe('EFBIG')
      expect(error.hint).toContain('mmap({ offset, length })')
    }
    addon().close(fd)
  },
)
