import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { Fence } from '../../src/sync/fence.ts'
import { isLater, seqnoAfter } from '../../src/sync/seqno.ts'
import { Timeline } from '../../src/sync/timeline.ts'
import { codeNow } from '../support/fails.ts'

const word = fc.nat(2 ** 32 - 1)

test('FE-15: numbers are compared by their signed 32-bit difference, and equal ones are not later', () => {
  fc.assert(
    fc.property(word, fc.integer({ min: 1, max: 2 ** 31 - 1 }), (seqno, ahead) => {
      expect(isLater(seqnoAfter(seqno, ahead), seqno)).toBe(true)
      expect(isLater(seqno, seqnoAfter(seqno, ahead))).toBe(false)
      expect(isLater(seqno, seqno)).toBe(false)
    }),
  )
})

test('FE-01, FE-06: a new fence is pending; once signalled it stays so, with a time', () => {
  using timeline = new Timeline('engine')
  const fence = timeline.createFence()
  expect([fence.status, fence.isSignalled, fence.timestamp]).toEqual(['pending', false, 0n])
  expect([fence.driverName, fence.timelineName]).toEqual(['dmabuf', 'engine'])
  expect(timeline.signal(fence)).toBe(true)
  expect([fence.status, fence.isSignalled, fence.error]).toEqual(['signalled', true, undefined])
  expect(fence.timestamp > 0n).toBe(true)
  expect([fence.driverName, fence.timelineName]).toEqual(['detached-driver', 'signaled-timeline'])
})

test('FE-02: signalling twice has no further effect, and the first time stays', () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  timeline.signal(fence)
  const { timestamp } = fence
  expect(timeline.signal(fence, { error: -5 })).toBe(false)
  expect([fence.timestamp, fence.status]).toEqual([timestamp, 'signalled'])
})

test('FE-03: callbacks run once, in order of addition, before anybody who waits goes on', async () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  const order: string[] = []
  expect(fence.addCallback(() => order.push('first'))).toBe(true)
  const waited = fence.wait().then(() => order.push('waiter'))
  expect(fence.addCallback(() => order.push('second'))).toBe(true)
  timeline.signal(fence)
  expect(order).toEqual(['first', 'second'])
  await waited
  timeline.signal(fence)
  expect(order).toEqual(['first', 'second', 'waiter'])
})

test('FE-04: a callback added to a signalled fence never runs', () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  timeline.signal(fence)
  const callback = vi.fn()
  expect(fence.addCallback(callback)).toBe(false)
  expect(callback).not.toHaveBeenCalled()
})

test('FE-05: a removed callback does not run, and one that has run cannot be removed', () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  const removed = vi.fn()
  const kept = vi.fn()
  fence.addCallback(removed)
  fence.addCallback(kept)
  expect(fence.removeCallback(removed)).toBe(true)
  expect(fence.removeCallback(removed)).toBe(false)
  timeline.signal(fence)
  expect(removed).not.toHaveBeenCalled()
  expect(kept).toHaveBeenCalledTimes(1)
  expect(fence.removeCallback(kept)).toBe(false)
})

test('a callback cannot be added twice, nor anything that is no function', () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  const callback = () => {}
  fence.addCallback(callback)
  expect(codeNow(() => fence.addCallback(callback))).toBe('EINVAL')
  expect(codeNow(() => fence.addCallback(undefined as never))).toBe('EINVAL')
})

test('a callback that throws does not keep the others from being called', async () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  const after = vi.fn()
  fence.addCallback(() => {
    throw new Error('thrown by a callback')
  })
  fence.addCallback(after)
  const thrown = new Promise<unknown>((resolve) => {
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', (error) => {
      for (const other of others) process.on('uncaughtException', other)
      resolve(error)
    })
  })
  timeline.signal(fence)
  expect(after).toHaveBeenCalledTimes(1)
  expect(await thrown).toMatchObject({ message: 'thrown by a callback' })
})

test('FE-07, FE-13: an error shows once the fence has signalled, and is -4095 to -1', () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  for (const error of [0, 5, -4096]) expect(codeNow(() => timeline.signal(fence, { error }))).toBe('EINVAL')
  expect(fence.error).toBeUndefined()
  timeline.signal(fence, { error: -110 })
  expect([fence.status, fence.error]).toEqual(['error', -110])
})

test('FE-08, FE-09: a wait with a timeout says whether the fence has signalled', async () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  expect(await fence.wait({ timeout: 0 })).toBe(false)
  expect(await fence.wait({ timeout: 1 })).toBe(false)
  const waiting = fence.wait({ timeout: 60_000 })
  timeline.signal(fence, { error: -5 })
  expect(await waiting).toBe(true)
  expect(await fence.wait({ timeout: 0 })).toBe(true)
})

test('an aborted wait rejects, and leaves nothing behind', async () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  const controller = new AbortController()
  const waiting = fence.wait({ signal: controller.signal })
  controller.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'ABORT_ERR' })
  await expect(fence.wait({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORT_ERR' })
  await expect(fence.wait({ timeOut: 1 } as never)).rejects.toMatchObject({ code: 'EINVAL' })
})

test('FE-10: a stub is signalled from the beginning', async () => {
  const stub = Fence.signalled()
  expect([stub.status, stub.addCallback(() => {})]).toEqual(['signalled', false])
  expect(await stub.wait()).toBe(true)
})

test('FE-12: watching begins once, with the first wait or callback; what is done already signals then', () => {
  const begun: number[] = []
  using timeline = new Timeline('lazy', {
    enableSignaling: (fence) => {
      begun.push(fence.seqno)
      return fence.seqno !== 2
    },
  })
  const [first, second] = [timeline.createFence(), timeline.createFence()]
  expect(begun).toEqual([])
  first.addCallback(() => {})
  first.addCallback(() => {})
  expect(begun).toEqual([1])
  expect(second.addCallback(() => {})).toBe(false)
  expect([begun, second.status, timeline.seqno]).toEqual([[1, 2], 'signalled', 2])
})

test('FE-22: the earliest deadline counts, and a signalled fence takes none', () => {
  const told: bigint[] = []
  using timeline = new Timeline('', { onDeadline: (_, deadline) => told.push(deadline) })
  const fence = timeline.createFence()
  for (const deadline of [50n, 70n, 20n]) fence.setDeadline(deadline)
  expect([fence.deadline, told]).toEqual([20n, [50n, 20n]])
  timeline.signal(fence)
  fence.setDeadline(1n)
  expect(fence.deadline).toBe(20n)
  expect(codeNow(() => fence.setDeadline(1 as never))).toBe('EINVAL')
})

test('a blocking wait is refused on the main thread, unless there is nothing to wait for', () => {
  using timeline = new Timeline()
  const fence = timeline.createFence()
  expect(fence.waitSync({ timeout: 0 })).toBe(false)
  expect(codeNow(() => fence.waitSync())).toBe('EDEADLK')
  timeline.signal(fence)
  expect(fence.waitSync()).toBe(true)
})

test('nobody but a timeline makes fences', () => {
  expect(codeNow(() => new (Fence as unknown as new () => Fence)())).toBe('EINVAL')
})
