import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, expect, test } from 'vitest'
import { bufinfo, type DmaBuf, memoryBudget, SystemHeap, setMemoryBudget } from '../../src/index.ts'
import { census, sharedMappings, useCensus } from '../support/census.ts'
import { collect, untilCollected } from '../support/until.ts'

const heap = new SystemHeap()
const initial = memoryBudget().budget

useCensus()
afterEach(() => setMemoryBudget(initial))

test('a forgotten buffer is collected: its descriptor, its mapping, its charge', async () => {
  const before = census()
  const collected: unknown[] = []
  const listen = (message: unknown) => collected.push((message as { collected: boolean }).collected)
  subscribe('dmabuf:buffer:closed', listen)
  ;(() => {
    const buffer = heap.allocateSync(1 << 20, { name: 'forgotten' })
    buffer.beginCpuAccessSync('write').bytes.fill(1)
  })()
  expect(census().memfd).toBe(before.memfd + 1)
  await untilCollected(() => bufinfo().length === 0, 'the buffer is collected')
  // The memory's own finalizer may come later than the wrapper's.
  const mapped = () => sharedMappings().some((line) => line.includes('forgotten'))
  await untilCollected(() => !mapped(), 'its mapping is gone')
  expect(census()).toEqual(before)
  expect(collected).toEqual([true])
  unsubscribe('dmabuf:buffer:closed', listen)
})

test('whoever holds the bytes keeps the buffer, although its wrapper was collected', async () => {
  let wrapper: WeakRef<object> | undefined
  let held = (() => {
    const buffer = heap.allocateSync(1 << 20)
    wrapper = new WeakRef(buffer)
    return buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(4).subarray(100, 200))
  })()
  await untilCollected(() => wrapper?.deref() === undefined, 'the wrapper is collected')
  for (let turn = 0; turn < 10; turn++) {
    collect()
    await new Promise(setImmediate)
  }
  expect(held.length).toBe(100)
  expect(held[99]).toBe(4)
  expect(bufinfo()).toHaveLength(1)
  held = new Uint8Array()
  await untilCollected(() => bufinfo().length === 0, 'the buffer is collected')
})

const holding = {
  access: (buffer: DmaBuf) => buffer.beginCpuAccessSync('write'),
  range: (buffer: DmaBuf) => buffer.mmap(),
  vmap: (buffer: DmaBuf) => buffer.vmap(),
  page: (buffer: DmaBuf) => buffer.beginCpuAccessSync('write').kmap(0),
}

test.each(Object.entries(holding))('whoever holds an open %s keeps the buffer', async (_, hold) => {
  let held = hold(heap.allocateSync(4096)) as { readonly bytes: Uint8Array } | undefined
  for (let turn = 0; turn < 10; turn++) {
    collect()
    await new Promise(setImmediate)
  }
  expect(held?.bytes.length).toBe(4096)
  held = undefined
  await untilCollected(() => bufinfo().length === 0, 'the buffer is collected')
})

test('a buffer that was closed is not closed again by the collector', async () => {
  const closings: unknown[] = []
  const listen = (message: unknown) => closings.push(message)
  subscribe('dmabuf:buffer:closed', listen)
  ;(() => {
    for (let count = 0; count < 50; count++) heap.allocateSync(1).close()
  })()
  // New buffers get the same descriptor numbers; a second close would hit them.
  const kept = Array.from({ length: 50 }, () => heap.allocateSync(1))
  for (let turn = 0; turn < 20; turn++) {
    collect()
    await new Promise(setImmediate)
  }
  expect(closings).toHaveLength(50)
  for (const buffer of kept) expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes.length)).toBe(1)
  for (const buffer of kept) buffer.close()
  unsubscribe('dmabuf:buffer:closed', listen)
})

test.each([true, false])(
  'forgetting 300 buffers of 8 MiB runs into no budget of 1 GiB (looked at: %s)',
  async (look) => {
    setMemoryBudget(memoryBudget().used + 2 ** 30)
    for (let count = 0; count < 300; count++) {
      const buffer = heap.allocateSync(8 << 20)
      if (look) buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(count))
      // Finalizers run in turns of their own: no program of a single endless turn is helped.
      await new Promise(setImmediate)
    }
  },
)
