import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { Fence, FenceArray, type FenceUsage, Reservation, Timeline } from '../../src/index.ts'
import { isLater } from '../../src/sync/seqno.ts'
import { codeNow } from '../support/fails.ts'

const usages: readonly FenceUsage[] = ['kernel', 'write', 'read', 'bookkeep']

test('RV-01, RV-02, RV-05: a fence is found with its usage and by every weaker query', () => {
  for (const [rank, usage] of usages.entries()) {
    using timeline = new Timeline()
    const reservation = new Reservation()
    const fence = timeline.createFence()
    reservation.add(fence, usage)
    expect(usages.map((query) => reservation.isSignalled(query))).toEqual(
      usages.map((_, index) => index < rank),
    )
    expect(reservation.entries(usage)).toEqual([{ fence, usage }])
  }
})

test('RV-03, RV-10: what has signalled is not found any more', () => {
  using timeline = new Timeline()
  const reservation = new Reservation()
  reservation.add(timeline.createFence(), 'write')
  timeline.signal(1)
  expect(reservation.fences('bookkeep')).toEqual([])
  reservation.add(Fence.signalled(), 'write')
  expect(reservation.fences('bookkeep')).toEqual([])
})

test('RV-08: a later fence of one context with the same or a stronger usage replaces the earlier', () => {
  using timeline = new Timeline()
  const reservation = new Reservation()
  const [first, second, third] = [timeline.createFence(), timeline.createFence(), timeline.createFence()]
  reservation.add(first, 'read')
  reservation.add(second, 'read')
  expect(reservation.fences('bookkeep')).toEqual([second])
  reservation.add(third, 'write')
  expect(reservation.entries('bookkeep')).toEqual([{ fence: third, usage: 'write' }])
})

test('RV-09: a later fence of one context with a weaker usage stands beside it', () => {
  using timeline = new Timeline()
  const reservation = new Reservation()
  const [first, second] = [timeline.createFence(), timeline.createFence()]
  reservation.add(first, 'write')
  reservation.add(second, 'read')
  expect(reservation.fences('read')).toEqual([first, second])
})

test('PO-24, PO-24b, PO-24c: the same fence is there once; it may be promoted, never demoted', () => {
  using timeline = new Timeline()
  const reservation = new Reservation()
  const fence = timeline.createFence()
  for (const [added, is] of [
    ['bookkeep', 'bookkeep'],
    ['read', 'read'],
    ['read', 'read'],
    ['write', 'write'],
    ['read', 'write'],
  ] as const) {
    reservation.add(fence, added)
    expect(reservation.entries('bookkeep')).toEqual([{ fence, usage: is }])
  }
})

test('RV-11: containers are not kept', () => {
  using timeline = new Timeline()
  const array = new FenceArray([timeline.createFence()])
  expect(codeNow(() => new Reservation().add(array, 'read'))).toBe('EINVAL')
  expect(codeNow(() => new Reservation().add(timeline.createFence(), 'reading' as FenceUsage))).toBe('EINVAL')
})

test('RV-12: none is undefined, one is itself, several are an array', () => {
  const reservation = new Reservation()
  expect(reservation.singleton('bookkeep')).toBeUndefined()
  const [a, b] = [new Timeline(), new Timeline()].map((timeline) => timeline.createFence()) as [Fence, Fence]
  reservation.add(a, 'read')
  expect(reservation.singleton('read')).toBe(a)
  reservation.add(b, 'read')
  expect(reservation.singleton('read')).toBeInstanceOf(FenceArray)
})

test('RV-13, RV-14: a wait with timeout 0 says whether it is idle, and an error fails no wait', async () => {
  using timeline = new Timeline()
  const reservation = new Reservation()
  reservation.add(timeline.createFence(), 'read')
  expect(await reservation.wait('read', { timeout: 0 })).toBe(false)
  expect(await reservation.wait('write', { timeout: 0 })).toBe(true)
  const waited = reservation.wait('read')
  timeline.signal(1, { error: -5 })
  expect(await waited).toBe(true)
  expect(await reservation.wait('read', { timeout: 0 })).toBe(true)
})

test('RV-16: replace swaps the fences of one context and leaves others', () => {
  using first = new Timeline()
  using second = new Timeline()
  const reservation = new Reservation()
  const other = second.createFence()
  reservation.add(first.createFence(), 'write')
  reservation.add(other, 'read')
  const preemption = new Timeline().createFence()
  reservation.replace(first.context, preemption, 'bookkeep')
  reservation.replace(99_999, preemption, 'kernel')
  expect(reservation.entries('bookkeep')).toEqual([
    { fence: other, usage: 'read' },
    { fence: preemption, usage: 'bookkeep' },
  ])
})

test('who keeps it is told of every change', () => {
  using timeline = new Timeline()
  const changed = vi.fn()
  const reservation = new Reservation(changed)
  reservation.add(timeline.createFence(), 'read')
  expect(changed).toHaveBeenCalledTimes(1)
  timeline.signal(1)
  expect(changed).toHaveBeenCalledTimes(2)
})

test('whatever is added in whatever order, a query waits for all that it must, each context once for each usage', () => {
  const added = fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 6 }), fc.constantFrom(...usages))
  const signal = fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 6 }))
  const step = fc.oneof({ weight: 3, arbitrary: added }, { weight: 1, arbitrary: signal })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const timelines = [new Timeline(), new Timeline(), new Timeline()]
      const reservation = new Reservation()
      /** Everything ever added, and how it may be asked for. */
      const all: { fence: Fence; usage: FenceUsage }[] = []
      for (const [index, seqno, usage] of steps) {
        const timeline = timelines[index] as Timeline
        if (usage === undefined) timeline.signal(seqno)
        else {
          const fence = timeline.createFence(seqno)
          reservation.add(fence, usage)
          all.push({ fence, usage })
        }
        for (const [rank, query] of usages.entries()) {
          const found = reservation.fences(query)
          // Nothing is forgotten: a fence of the same context that is found signals no earlier.
          for (const { fence, usage: kind } of all) {
            if (fence.isSignalled || usages.indexOf(kind) > rank) continue
            const covered = found.some(
              (other) => other.context === fence.context && !isLater(fence.seqno, other.seqno),
            )
            expect(covered).toBe(true)
          }
          expect(found.every((fence) => all.some((entry) => entry.fence === fence))).toBe(true)
        }
      }
      for (const timeline of timelines) timeline.close()
      expect(reservation.isSignalled('bookkeep')).toBe(true)
    }),
  )
})
