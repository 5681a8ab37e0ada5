import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { bufinfo, type CpuAccess, type DmaBuf, limits, recordStacks, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'

const heap = new SystemHeap()

useCensus()

/** Open brackets and how many of them write, as bufinfo shows them. */
function open(buffer: DmaBuf): [number, number] {
  const info = bufinfo().find(({ fd }) => fd === buffer.fd)
  return [info?.openBrackets ?? -1, info?.openWriteBrackets ?? -1]
}

test('brackets overlap, are counted, and end once each in any order', async () => {
  using buffer = await heap.allocate(4096)
  const read = await buffer.beginCpuAccess('read')
  const write = buffer.beginCpuAccessSync('write')
  const both = buffer.beginCpuAccessSync('read-write')
  expect(open(buffer)).toEqual([3, 2])
  read.end()
  read.end()
  expect(open(buffer)).toEqual([2, 2])
  both.end()
  expect(open(buffer)).toEqual([1, 1])
  expect([read.ended, write.ended, both.ended]).toEqual([true, false, true])
  write.bytes[0] = 1
  write.end()
  expect(open(buffer)).toEqual([0, 0])
})

test('using ends a bracket, also when its block throws', async () => {
  using buffer = await heap.allocate(4096)
  expect(() => {
    using cpu = buffer.beginCpuAccessSync('write')
    cpu.bytes[0] = 1
    expect(open(buffer)).toEqual([1, 1])
    throw new RangeError('mine')
  }).toThrow('mine')
  {
    await using cpu = await buffer.beginCpuAccess('read')
    expect(cpu.bytes[0]).toBe(1)
  }
  expect(open(buffer)).toEqual([0, 0])
})

test('withCpuAccess returns what is returned, and ends whatever happens', async () => {
  using buffer = await heap.allocate(4096)
  let leaked: CpuAccess | undefined
  const result = await buffer.withCpuAccess('write', async (cpu) => {
    leaked = cpu
    await new Promise(setImmediate)
    expect(open(buffer)).toEqual([1, 1])
    return 7
  })
  expect([result, leaked?.ended]).toEqual([7, true])
  const thrown = new RangeError('mine')
  const fail = () => {
    throw thrown
  }
  await expect(buffer.withCpuAccess('write', fail)).rejects.toBe(thrown)
  await expect(buffer.withCpuAccess('read', () => Promise.reject(thrown))).rejects.toBe(thrown)
  expect(() => buffer.withCpuAccessSync('write', fail)).toThrow(thrown)
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.length)).toBe(4096)
  expect(open(buffer)).toEqual([0, 0])
})

test('a use that ends or closes by itself disturbs nothing', async () => {
  const buffer = await heap.allocate(4096)
  await buffer.withCpuAccess('write', (cpu) => cpu.end())
  expect(open(buffer)).toEqual([0, 0])
  expect(await buffer.withCpuAccess('write', () => buffer.close())).toBeUndefined()
  expect(bufinfo()).toEqual([])
})

test('a close ends the brackets of its wrapper and of no other', async () => {
  using buffer = await heap.allocate(4096)
  const second = wrap(coreOf(buffer))
  const own = buffer.beginCpuAccessSync('read')
  const others = [second.beginCpuAccessSync('write'), second.beginCpuAccessSync('read')]
  expect(open(buffer)).toEqual([3, 1])
  second.close()
  expect(open(buffer)).toEqual([1, 0])
  for (const cpu of others) cpu.end()
  expect(open(buffer)).toEqual([1, 0])
  expect([own.ended, ...others.map((cpu) => cpu.ended)]).toEqual([false, true, true])
  own.end()
})

test('a range is that part of the buffer', async () => {
  using buffer = await heap.allocate(10_000)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.set([1, 2, 3, 4], 5000))
  using cpu = buffer.beginCpuAccessSync('read', { offset: 5001, length: 2 })
  expect([cpu.offset, cpu.length, ...cpu.bytes]).toEqual([5001, 2, 2, 3])
  expect(cpu.bytes).toBe(cpu.bytes)
  using rest = buffer.beginCpuAccessSync('read', { offset: 5003 })
  expect([rest.length, rest.bytes[0]]).toEqual([4997, 4])
})

test.each([{ offset: 4097 }, { offset: 1, length: 4096 }, { length: 4097 }, { offset: -1 }, { length: -1 }])(
  'a range %j beyond the buffer is refused and opens nothing',
  async (range) => {
    using buffer = await heap.allocate(4096)
    expect(codeNow(() => buffer.beginCpuAccessSync('read', range))).toBe('EINVAL')
    expect(await codeOf(() => buffer.beginCpuAccess('read', range))).toBe('EINVAL')
    expect(open(buffer)).toEqual([0, 0])
  },
)

test('an aborted signal is refused before anything is opened', async () => {
  using buffer = await heap.allocate(4096)
  const error = await failure(() => buffer.beginCpuAccess('read', { signal: AbortSignal.abort('why') }))
  expect([error.name, error.code, error.cause]).toEqual(['AbortError', 'ABORT_ERR', 'why'])
  expect(open(buffer)).toEqual([0, 0])
})

test('one bracket too many is refused and leaves the others', async () => {
  using buffer = await heap.allocate(4096)
  const all = Array.from({ length: limits.maxOpenBrackets }, () => buffer.beginCpuAccessSync('write'))
  expect(codeNow(() => buffer.beginCpuAccessSync('read'))).toBe('EOVERFLOW')
  expect(codeNow(() => buffer.beginCpuAccessSync('write'))).toBe('EOVERFLOW')
  expect(open(buffer)).toEqual([limits.maxOpenBrackets, limits.maxOpenBrackets])
  all.pop()?.end()
  all.push(buffer.beginCpuAccessSync('read'))
  for (const cpu of all) cpu.end()
  expect(open(buffer)).toEqual([0, 0])
})

test('bufinfo shows every live buffer, and where it was made when asked to', async () => {
  recordStacks(true)
  using first = await heap.allocate(100, { name: 'first', sharing: 'read-only' })
  recordStacks(false)
  using second = await heap.allocate(100, { name: 'second' })
  const [a, b] = bufinfo()
  expect(a).toMatchObject({
    name: 'first',
    exporterName: 'system',
    role: 'exporter',
    byteLength: 100,
    wrappers: 1,
  })
  expect(a).toMatchObject({ sharing: 'read-only', fd: first.fd, revoked: false, holders: [] })
  expect(a?.createdAt).toContain('brackets.test')
  expect(b).toMatchObject({ name: 'second', sharing: 'writable', fd: second.fd, createdAt: undefined })
  expect(b?.id).toBeGreaterThan(a?.id ?? 0)
})

test('what happens is published, and balanced', async () => {
  const heard: string[] = []
  const channels = ['buffer:opened', 'buffer:closed', 'buffer:released', 'cpu:begin', 'cpu:end']
  const listeners = channels.map((name) => {
    const listen = (message: unknown) => heard.push(`${name} ${(message as { name: string }).name}`)
    subscribe(`dmabuf:${name}`, listen)
    return () => unsubscribe(`dmabuf:${name}`, listen)
  })
  const buffer = await heap.allocate(1, { name: 'x' })
  buffer.withCpuAccessSync('read', () => {})
  buffer.close()
  for (const stop of listeners) stop()
  const names = ['buffer:opened', 'cpu:begin', 'cpu:end', 'buffer:released', 'buffer:closed']
  expect(heard.sort()).toEqual(names.map((name) => `${name} x`).sort())
})
