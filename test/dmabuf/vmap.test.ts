import { constants } from 'node:buffer'
import { expect, test, vi } from 'vitest'
import { Device } from '../../src/dma.ts'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { bufinfo, DmaBuf, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { exported } from '../support/exported.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'

const heap = new SystemHeap()
const release = () => {}

useCensus()

test('vmaps are counted: the exporter is called for the first, told of the last, and all see one address', () => {
  const [vmap, vunmap] = [vi.fn(), vi.fn()]
  using buffer = exported({ vmap, vunmap, release }, 8192)
  using second = wrap(coreOf(buffer))
  const [one, two] = [buffer.vmap(), second.vmap()]
  expect([vmap.mock.calls.length, one.byteLength, two.bytes.length]).toEqual([1, 8192, 8192])
  expect(one.bytes.buffer).toBe(two.bytes.buffer)
  one.vunmap()
  expect(vunmap).not.toHaveBeenCalled()
  two.vunmap()
  expect(vunmap).toHaveBeenCalledTimes(1)
  buffer.vmap().vunmap()
  expect([vmap.mock.calls.length, vunmap.mock.calls.length]).toEqual([2, 2])
})

test('a vmap lives over many brackets, and wherever the storage moves', async () => {
  using buffer = await heap.allocate(16_384, { movable: true })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(1))
  using map = buffer.vmap()
  const { bytes } = map
  for (const value of [2, 3]) {
    using _bracket = await buffer.beginCpuAccess('read-write')
    bytes[value] = value
  }
  using attachment = await buffer.attach(new Device('needs a piece', { maxSegments: 1 }))
  using _table = await attachment.map('to-device')
  using _bracket = await buffer.beginCpuAccess('read')
  expect([...map.bytes.subarray(1, 4)]).toEqual([1, 2, 3])
  expect(map.bytes.buffer).toBe(bytes.buffer)
})

test('before a placed buffer has storage there is nothing to map', async () => {
  using buffer = await heap.allocate(4096, { movable: true, delayed: true })
  expect(codeNow(() => buffer.vmap())).toBe('EAGAIN')
})

test('an exporter without a linear mapping is EINVAL, and says what to do', async () => {
  using buffer = exported({ vmap: null, release }, 8192)
  const error = await failure(() => buffer.vmap())
  expect([error.code, error.hint]).toEqual(['EINVAL', expect.stringContaining('cpu.kmap(page)')])
  buffer.withCpuAccessSync('read', (cpu) => cpu.kmap(0).kunmap())
})

test('an exporter that refuses has mapped nothing, and may be asked again', () => {
  let memory = false
  const vunmap = vi.fn()
  using buffer = exported({
    vmap: () => {
      if (!memory) throw new Error('out of addresses')
    },
    vunmap,
    release,
  })
  expect(() => buffer.vmap()).toThrow('out of addresses')
  expect(vunmap).not.toHaveBeenCalled()
  memory = true
  buffer.vmap().vunmap()
  expect(vunmap).toHaveBeenCalledTimes(1)
})

test('giving it back twice is EINVAL, looking at it afterwards EBADF', () => {
  using buffer = heap.allocateSync(4096)
  const map = buffer.vmap()
  map.vunmap()
  expect([codeNow(() => map.vunmap()), codeNow(() => map.bytes)]).toEqual(['EINVAL', 'EBADF'])
  map[Symbol.dispose]()
})

test('no vmap remains at release: what is left is given back, before it, and counted', () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const order: string[] = []
  const buffer = exported({
    vunmap: () => void order.push('vunmap'),
    release: () => void order.push('release'),
  })
  using other = wrap(coreOf(buffer))
  const map = buffer.vmap()
  const { bytes } = map
  buffer.close()
  expect(order).toEqual(['vunmap'])
  expect(bufinfo()[0]?.bracketFaults.leftMapped).toBe(1)
  expect(codeNow(() => map.bytes)).toBe('EBADF')
  other.close()
  expect([order, bytes.length]).toEqual([['vunmap', 'release'], 0])
  expect(String(warned.mock.calls[0]?.[0])).toContain('closed with 1 of its kmaps and vmaps never unmapped')
  warned.mockRestore()
})

test('after revoke() a vmap is ENODEV, and its view of length 0', () => {
  using buffer = heap.allocateSync(4096)
  using map = buffer.vmap()
  const { bytes } = map
  buffer.revoke()
  expect([bytes.length, codeNow(() => map.bytes), codeNow(() => buffer.vmap())]).toEqual([
    0,
    'ENODEV',
    'ENODEV',
  ])
})

test('an exporter can refuse mmap, and is told which range', async () => {
  const mmap = vi.fn((_offset: number, length: number) => {
    if (length > 4096) throw new Error('one page at most')
  })
  using buffer = exported({ mmap, release }, 8192)
  buffer.mmap({ offset: 100, length: 10 }).close()
  expect(() => buffer.mmap()).toThrow('one page at most')
  expect(mmap.mock.calls).toEqual([
    [100, 10],
    [0, 8192],
  ])
})

test('mmap: outside the buffer is EINVAL, a range that has no end EOVERFLOW', () => {
  using buffer = heap.allocateSync(8192)
  const most = Number.MAX_SAFE_INTEGER
  const cases = [
    [{ offset: 8193 }, 'EINVAL'],
    [{ offset: 8192 }, 'EINVAL'],
    [{ offset: 4096, length: 4097 }, 'EINVAL'],
    [{ length: 0 }, 'EINVAL'],
    [{ offset: -1 }, 'EINVAL'],
    [{ offset: most, length: 1 }, 'EOVERFLOW'],
    [{ offset: 1, length: most }, 'EOVERFLOW'],
  ] as const
  for (const [range, code] of cases) expect([range, codeNow(() => buffer.mmap(range))]).toEqual([range, code])
})

test.runIf(constants.MAX_LENGTH < 5 * 2 ** 30)('a buffer beyond one ArrayBuffer is EFBIG', async () => {
  const fd = addon().memfdCreate('sparse', 0)
  const { ftruncateSync } = await import('node:fs')
  ftruncateSync(fd, 5 * 2 ** 30)
  addon().addSeals(fd, 7)
  using buffer = DmaBuf.fromFd(fd)
  addon().close(fd)
  expect(await codeOf(() => buffer.vmap())).toBe('EFBIG')
  using cpu = buffer.beginCpuAccessSync('read')
  cpu.kmap(5 * 2 ** 18 - 1).kunmap()
})
