import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Fence } from '../../src/sync/fence.ts'
import { isLater } from '../../src/sync/seqno.ts'
import { Timeline } from '../../src/sync/timeline.ts'
import { codeNow } from '../support/fails.ts'
import { untilCollected } from '../support/until.ts'

test('SW-01, SW-02: a fence signals when the timeline reaches its number, and one that was reached is born so', () => {
  using timeline = new Timeline()
  expect([timeline.seqno, timeline.createFence(0).status]).toEqual([0, 'signalled'])
  const fence = timeline.createFence(5)
  expect(timeline.signal(1)).toBe(true)
  expect(fence.status).toBe('pending')
  expect(timeline.signal(7)).toBe(true)
  expect([fence.status, timeline.seqno]).toEqual(['signalled', 7])
})

test('SW-03, SW-04: closing completes what is pending with ENOENT, and leaves what has signalled', () => {
  const timeline = new Timeline()
  const [done, pending] = [timeline.createFence(), timeline.createFence()]
  timeline.signal(done)
  timeline.close()
  timeline.close()
  expect([done.status, pending.status, pending.error]).toEqual(['signalled', 'error', -2])
  expect(codeNow(() => timeline.createFence())).toBe('EBADF')
  expect(codeNow(() => timeline.signal(3))).toBe('EBADF')
})

test('SW-08: numbers wrap around', () => {
  using timeline = new Timeline()
  for (const seqno of [0x7000_0000, 0xe000_0000, 0xffff_fff0]) timeline.signal(seqno)
  const fence = timeline.createFence(5)
  expect(fence.status).toBe('pending')
  timeline.signal(5)
  expect([fence.status, timeline.seqno]).toEqual(['signalled', 5])
})

test('SW-12: two fences with one number are the same fence', () => {
  using timeline = new Timeline()
  expect(timeline.createFence(4)).toBe(timeline.createFence(4))
  expect(timeline.createFence(3)).not.toBe(timeline.createFence(4))
})

test('the error is of the fence that was signalled, not of those before it', () => {
  using timeline = new Timeline()
  const [first, second, third] = [timeline.createFence(), timeline.createFence(), timeline.createFence()]
  timeline.signal(second, { error: -5 })
  expect([first.error, second.error, third.status]).toEqual([undefined, -5, 'pending'])
})

test('FE-14: the fences of a forgotten timeline fail with EDEADLK', async () => {
  const fence = new Timeline('forgotten').createFence()
  const failed = fence.wait()
  await untilCollected(() => fence.isSignalled, 'the timeline was collected')
  expect([await failed, fence.error]).toEqual([true, -35])
})

test('a fence of another timeline is refused, and so are names and numbers that are none', () => {
  using timeline = new Timeline()
  using other = new Timeline()
  expect(codeNow(() => timeline.signal(other.createFence()))).toBe('EINVAL')
  expect(codeNow(() => timeline.signal(-1))).toBe('EINVAL')
  expect(codeNow(() => timeline.createFence(2 ** 32))).toBe('EINVAL')
  expect(codeNow(() => new Timeline('x'.repeat(32)))).toBe('EINVAL')
  expect(codeNow(() => new Timeline('', { onDeadLine: () => {} } as never))).toBe('EINVAL')
})

test('whatever is made and signalled in whatever order, a fence is pending exactly while its number is later', () => {
  const step = fc.record({ signal: fc.boolean(), ahead: fc.integer({ min: -20, max: 20 }) })
  fc.assert(
    fc.property(fc.nat(2 ** 32 - 1), fc.array(step, { maxLength: 60 }), (start, steps) => {
      using timeline = new Timeline()
      timeline.signal(start >>> 1)
      timeline.signal(start)
      const order: number[] = []
      const made = new Set<Fence>()
      for (const { signal, ahead } of steps) {
        const seqno = (timeline.seqno + ahead) >>> 0
        if (signal) timeline.signal(seqno)
        else {
          const fence = timeline.createFence(seqno)
          if (!made.has(fence)) fence.addCallback(({ seqno }) => order.push(seqno))
          made.add(fence)
        }
        for (const fence of made) expect(fence.isSignalled).toBe(!isLater(fence.seqno, timeline.seqno))
      }
      for (let index = 1; index < order.length; index++) {
        expect(isLater(order[index] as number, order[index - 1] as number)).toBe(true)
      }
    }),
  )
})

test('fences that signal together have all signalled for the callbacks of the first of them', () => {
  using timeline = new Timeline()
  const [first, second, third] = [timeline.createFence(), timeline.createFence(), timeline.createFence()]
  const seen: unknown[] = []
  first.addCallback(() => seen.push(second.status, third.error, third.timestamp === first.timestamp))
  third.addCallback(() => seen.push('third'))
  timeline.signal(third, { error: -5 })
  expect(seen).toEqual(['third', 'signalled', -5, true])
})
