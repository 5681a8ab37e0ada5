import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Fence } from '../../src/sync/fence.ts'
import { FenceArray } from '../../src/sync/fence-array.ts'
import { FenceChain } from '../../src/sync/fence-chain.ts'
import { leavesOf, mergeFences } from '../../src/sync/merge.ts'
import { isLater } from '../../src/sync/seqno.ts'
import { Timeline } from '../../src/sync/timeline.ts'
import { codeNow } from '../support/fails.ts'

function pendingFence(): { fence: Fence; signal: (error?: number) => void } {
  const timeline = new Timeline()
  const fence = timeline.createFence()
  return { fence, signal: (error) => timeline.signal(fence, error === undefined ? {} : { error }) }
}

test('FE-16: an array signals after all its members, with the error of the first that failed', async () => {
  const [a, b, c] = [pendingFence(), pendingFence(), pendingFence()]
  const array = new FenceArray([a.fence, b.fence, c.fence])
  const waited = array.wait()
  c.signal(-110)
  a.signal()
  expect(array.status).toBe('pending')
  b.signal(-5)
  expect(await waited).toBe(true)
  expect([array.status, array.error, array.timestamp]).toEqual(['error', -110, b.fence.timestamp])
})

test('an array that nobody waits for knows all the same when its members have signalled', () => {
  const [a, b] = [pendingFence(), pendingFence()]
  const array = new FenceArray([a.fence, b.fence, a.fence])
  expect(array.addCallback(() => {})).toBe(true)
  const unwatched = new FenceArray([a.fence, b.fence])
  a.signal()
  b.signal()
  expect([array.status, unwatched.status]).toEqual(['signalled', 'signalled'])
})

test('an array takes no containers, and is not empty', () => {
  const { fence } = pendingFence()
  const array = new FenceArray([fence])
  expect(codeNow(() => new FenceArray([array]))).toBe('EINVAL')
  expect(codeNow(() => new FenceArray([new FenceChain(undefined, fence, 1)]))).toBe('EINVAL')
  expect(codeNow(() => new FenceArray([]))).toBe('EINVAL')
  expect(codeNow(() => new FenceArray([{} as Fence]))).toBe('EINVAL')
})

test('FE-17: every leaf of an array, a chain, and a chain of arrays is visited once', () => {
  const [a, b, c] = [pendingFence().fence, pendingFence().fence, pendingFence().fence]
  expect([...leavesOf(a)]).toEqual([a])
  expect([...leavesOf(new FenceArray([a, b]))]).toEqual([a, b])
  const chain = new FenceChain(new FenceChain(undefined, a, 1), b, 2)
  expect([...leavesOf(chain)]).toEqual([b, a])
  expect([...leavesOf(new FenceChain(chain, new FenceArray([c]), 3))]).toEqual([c, b, a])
})

test('FE-18: a merge keeps the latest fence of each context, in the order of contexts', () => {
  using first = new Timeline()
  using second = new Timeline()
  const [early, late] = [first.createFence(), first.createFence()]
  const other = second.createFence()
  const merged = mergeFences(other, late, early)
  expect(merged).toBeInstanceOf(FenceArray)
  expect([...leavesOf(merged)]).toEqual([late, other])
})

test('FE-19: a merge of one fence with itself is that fence', () => {
  const { fence } = pendingFence()
  expect(mergeFences(fence, fence)).toBe(fence)
  expect(mergeFences(new FenceArray([fence]), fence)).toBe(fence)
})

test('SF-17, SF-24: a merge of what has signalled is a signalled fence with the latest time, and without the error', () => {
  const [a, b] = [pendingFence(), pendingFence()]
  a.signal()
  b.signal(-5)
  const merged = mergeFences(a.fence, b.fence)
  expect([merged.status, merged.error, merged.timestamp]).toEqual(['signalled', undefined, b.fence.timestamp])
})

test('FE-20: a point is found as the first link at or behind it', () => {
  const parts = [1, 3, 6].map((point) => ({ point, ...pendingFence() }))
  let chain: FenceChain | undefined
  const links = parts.map(({ fence, point }) => (chain = new FenceChain(chain, fence, point)))
  const last = links[2] as FenceChain
  expect([0, 1, 2, 3, 4, 6].map((point) => last.findPoint(point))).toEqual(
    [2, 0, 1, 1, 2, 2].map((index) => links[index]),
  )
  expect(codeNow(() => last.findPoint(7))).toBe('EINVAL')
  parts[0]?.signal()
  parts[1]?.signal()
  expect([1, 3].map((point) => last.findPoint(point))).toEqual([undefined, undefined])
  expect(last.previous).toBeUndefined()
})

test('FE-21: the end of a chain waits for all links, in whatever order they signal', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5 }),
      fc.boolean(),
      async (order, listen) => {
        const parts = order.map(() => pendingFence())
        let chain: FenceChain | undefined
        for (const [index, { fence }] of parts.entries()) chain = new FenceChain(chain, fence, index + 1)
        const waited = listen ? chain?.wait() : Promise.resolve(true)
        for (const index of order) {
          expect(chain?.status).toBe('pending')
          parts[index]?.signal()
        }
        expect(chain?.status).toBe('signalled')
        expect(await waited).toBe(true)
      },
    ),
  )
})

test('a very long chain is waited for', async () => {
  const { fence, signal } = pendingFence()
  let chain = new FenceChain(undefined, fence, 1)
  for (let point = 2; point < 20_000; point++) chain = new FenceChain(chain, Fence.signalled(), point)
  const waited = chain.wait()
  signal()
  expect(await waited).toBe(true)
})

test('FE-22: deadlines go on to the members that are pending', () => {
  const [a, b] = [pendingFence(), pendingFence()]
  b.signal()
  new FenceArray([a.fence, b.fence]).setDeadline(5n)
  new FenceChain(undefined, a.fence, 1).setDeadline(3n)
  expect([a.fence.deadline, b.fence.deadline]).toEqual([3n, undefined])
})

test('a merge signals exactly when the last of its fences does, whatever was merged with what', () => {
  const timelines = 4
  const seqno = fc.nat(8)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(timelines - 1), seqno), { minLength: 1, maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(timelines - 1), seqno), { maxLength: 20 }),
      (wanted, signals) => {
        const all = Array.from({ length: timelines }, () => new Timeline())
        const at = (index: number) => all[index] as Timeline
        const fences = wanted.map(([index, number]) => at(index).createFence(number))
        const merged = fences.reduce((sum, fence) => mergeFences(sum, fence))
        for (const [index, number] of signals) {
          at(index).signal(number)
          expect(merged.isSignalled).toBe(fences.every((fence) => !isLater(fence.seqno, seqnoOf(all, fence))))
        }
        for (const timeline of all) timeline.close()
        expect(merged.isSignalled).toBe(true)
      },
    ),
  )
})

function seqnoOf(timelines: readonly Timeline[], fence: Fence): number {
  return timelines.find(({ context }) => context === fence.context)?.seqno ?? 0
}
