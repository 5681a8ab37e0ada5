import { expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import {
  type BufferPool,
  bufinfo,
  type DmaBuf,
  memoryBudget,
  SystemHeap,
  setMemoryBudget,
} from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'
import { untilCollected } from '../support/until.ts'

const heap = new SystemHeap()

useCensus()

function pool(buffers: number, sharing: 'writable' | 'read-only' = 'writable'): Promise<BufferPool> {
  return heap.pool({ byteLength: 5000, buffers, name: 'pooled', sharing })
}

/** Whether a promise has settled, after whatever was due has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  const note = () => {
    done = true
  }
  promise.then(note, note)
  await new Promise(setImmediate)
  return done
}

test('a pool gives out its buffers and takes them back by release or close', async () => {
  await using buffers = await pool(2)
  expect([buffers.size, buffers.byteLength, buffers.available]).toEqual([2, 5000, 2])
  const first = await buffers.acquire()
  const second = await buffers.acquire()
  expect([first.byteLength, first.name, first.same(second), buffers.available]).toEqual([
    5000,
    'pooled',
    false,
    0,
  ])
  buffers.release(first)
  expect([first.closed, buffers.available]).toEqual([true, 1])
  second.close()
  expect(buffers.available).toBe(2)
  expect(bufinfo()).toHaveLength(2)
})

test.each(['writable', 'read-only'] as const)(
  'a %s buffer comes back with what its last user left, and old views are empty',
  async (sharing) => {
    await using buffers = await pool(1, sharing)
    const first = await buffers.acquire()
    const old = first.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(4))
    const { fd } = first
    buffers.release(first)
    expect(old.length).toBe(0)
    using next = await buffers.acquire()
    expect(next.fd).toBe(fd)
    expect(next.withCpuAccessSync('write', (cpu) => [...cpu.bytes.subarray(0, 2)])).toEqual([4, 4])
  },
)

test('whoever waited first is served first', async () => {
  await using buffers = await pool(1)
  const held = await buffers.acquire()
  const order: number[] = []
  const waiting = [1, 2, 3].map(async (number) => {
    const buffer = await buffers.acquire()
    order.push(number)
    buffer.close()
  })
  expect(await settled(Promise.race(waiting))).toBe(false)
  held.close()
  await Promise.all(waiting)
  expect(order).toEqual([1, 2, 3])
})

test('a signal ends the waiting, and the next in line is served', async () => {
  await using buffers = await pool(1)
  expect(await codeOf(() => buffers.acquire({ signal: AbortSignal.abort() }))).toBe('ABORT_ERR')
  const held = await buffers.acquire()
  const controller = new AbortController()
  const aborted = buffers.acquire({ signal: controller.signal })
  const patient = buffers.acquire()
  controller.abort('enough')
  const error = await failure(() => aborted)
  expect([error.name, error.cause]).toEqual(['AbortError', 'enough'])
  held.close()
  using buffer = await patient
  expect(buffer.closed).toBe(false)
  // An abort that comes after the answer changes nothing.
  const late = new AbortController()
  buffers.release(buffer)
  using kept = await buffers.acquire({ signal: late.signal })
  late.abort()
  expect(kept.closed).toBe(false)
})

test('only buffers of the pool that are given out can be released', async () => {
  await using buffers = await pool(1)
  await using others = await pool(1)
  using foreign = await heap.allocate(5000)
  using stranger = await others.acquire()
  const buffer = await buffers.acquire()
  for (const wrong of [foreign, stranger]) expect(codeNow(() => buffers.release(wrong))).toBe('EINVAL')
  buffers.release(buffer)
  expect(codeNow(() => buffers.release(buffer))).toBe('EBADF')
  for (const wrong of [{}, null, 5]) expect(codeNow(() => buffers.release(wrong as DmaBuf))).toBe('EINVAL')
  expect([foreign.closed, stranger.closed, buffers.available]).toEqual([false, false, 1])
})

test('a buffer comes back only when the last wrapper here has closed it', async () => {
  await using buffers = await pool(1)
  const buffer = await buffers.acquire()
  const second = wrap(coreOf(buffer))
  buffers.release(buffer)
  expect(buffers.available).toBe(0)
  second.close()
  expect(buffers.available).toBe(1)
})

test('a forgotten buffer comes back by the collector', async () => {
  await using buffers = await pool(1)
  await (async () => {
    const buffer = await buffers.acquire()
    buffer.beginCpuAccessSync('write').bytes.fill(1)
  })()
  await untilCollected(() => buffers.available === 1, 'the buffer is back')
  expect(bufinfo()[0]?.openBrackets).toBe(0)
})

test('closing turns those away who wait, frees what is idle, and the rest when it comes back', async () => {
  const { used } = memoryBudget()
  const buffers = await pool(2)
  const first = await buffers.acquire()
  const second = await buffers.acquire()
  const waiting = [buffers.acquire(), buffers.acquire()]
  buffers.release(first)
  using third = await waiting[0]!
  await buffers.close()
  await buffers.close()
  expect(await codeOf(() => waiting[1])).toBe('EBADF')
  expect(await codeOf(() => buffers.acquire())).toBe('EBADF')
  expect(bufinfo()).toHaveLength(2)
  expect(third.withCpuAccessSync('write', (cpu) => cpu.bytes.length)).toBe(5000)
  buffers.release(second)
  third.close()
  expect([bufinfo(), memoryBudget().used]).toEqual([[], used])
})

test('a frozen buffer is replaced before it is used again', async () => {
  await using buffers = await pool(1, 'read-only')
  const first = await buffers.acquire()
  first.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(4))
  first.freeze()
  first.close()
  using next = await buffers.acquire()
  expect(next.frozen).toBe(false)
  expect(next.withCpuAccessSync('write', (cpu) => cpu.bytes[0])).toBe(0)
})

test('a pool that fills its budget exactly can still replace a buffer', async () => {
  const { budget, used } = memoryBudget()
  setMemoryBudget(used + 4096)
  try {
    await using buffers = await new SystemHeap().pool({ byteLength: 1, buffers: 1, sharing: 'read-only' })
    const first = await buffers.acquire()
    first.freeze()
    first.close()
    using next = await buffers.acquire()
    expect([next.frozen, memoryBudget().used]).toEqual([false, used + 4096])
  } finally {
    setMemoryBudget(budget)
  }
})

test('a buffer that cannot be replaced is an error for each who waits, and is tried again by the next', async () => {
  const initial = memoryBudget().budget
  await using buffers = await pool(1, 'read-only')
  const first = await buffers.acquire()
  first.freeze()
  const waiting = [buffers.acquire(), buffers.acquire()]
  setMemoryBudget(memoryBudget().used - 1)
  try {
    first.close()
    for (const promise of waiting) expect(await codeOf(() => promise)).toBe('EDQUOT')
    expect(await codeOf(() => buffers.acquire())).toBe('EDQUOT')
    expect(buffers.available).toBe(1)
  } finally {
    setMemoryBudget(initial)
  }
  using next = await buffers.acquire()
  expect(next.frozen).toBe(false)
})

test('a pool that does not fit leaves nothing behind', async () => {
  const { budget, used } = memoryBudget()
  expect(await codeOf(() => heap.pool({ byteLength: 1, buffers: 4097 }))).toBe('EINVAL')
  setMemoryBudget(used + 9 * 4096)
  expect(await codeOf(() => heap.pool({ byteLength: 4096, buffers: 10 }))).toBe('EDQUOT')
  setMemoryBudget(budget)
  expect([bufinfo(), memoryBudget().used]).toEqual([[], used])
})

test('a forgotten pool is collected with its buffers', async () => {
  await (async () => {
    const buffers = await pool(3)
    const buffer = await buffers.acquire()
    buffer.close()
  })()
  await untilCollected(() => bufinfo().length === 0, 'the pool is collected')
})
