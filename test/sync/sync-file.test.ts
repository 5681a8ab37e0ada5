import { beforeAll, expect, test } from 'vitest'
import { Fence, FenceArray, SyncFile, Timeline } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { codeNow } from '../support/fails.ts'
import { warmFences } from '../support/warm-fences.ts'

const POLLIN = 1

beforeAll(warmFences)
useCensus()

const readable = (file: SyncFile) => (addon().pollNow(file.fd, POLLIN) & POLLIN) !== 0

test('SF-12, SF-15: its descriptor is readable once the fence has signalled, whoever asks', () => {
  using timeline = new Timeline('engine')
  using file = SyncFile.from(timeline.createFence())
  expect(readable(file)).toBe(false)
  expect(file.info().fences).toEqual([
    { driverName: 'dmabuf', timelineName: 'engine', status: 0, timestamp: 0n },
  ])
  timeline.signal(1)
  expect(readable(file)).toBe(true)
  const [info] = file.info().fences
  expect([info?.status, (info?.timestamp ?? 0n) > 0n]).toEqual([1, true])
  using late = SyncFile.from(file.fence)
  expect(readable(late)).toBe(true)
})

test('SF-06, SF-13, SF-16: a merged file is readable when the last member has signalled', () => {
  using first = new Timeline('a')
  using second = new Timeline('b')
  using a = SyncFile.from(first.createFence())
  using b = SyncFile.from(second.createFence())
  using merged = SyncFile.merge(a, b, { name: 'both' })
  expect(merged.info()).toMatchObject({ name: 'both', status: 0 })
  expect(merged.info().fences).toHaveLength(2)
  expect(readable(merged)).toBe(false)
  first.signal(1)
  expect([readable(a), readable(b), readable(merged)]).toEqual([true, false, false])
  second.signal(1)
  expect([readable(b), readable(merged), merged.info().status]).toEqual([true, true, 1])
})

test('SF-10, SF-11, SF-14: a file merged with itself has one fence, (A and B) with A has two, what signalled is left out', () => {
  using first = new Timeline()
  using second = new Timeline()
  using a = SyncFile.from(first.createFence())
  using b = SyncFile.from(second.createFence())
  using both = SyncFile.merge(a, b)
  using same = SyncFile.merge(a, a)
  using again = SyncFile.merge(both, a)
  expect([same.info().fences.length, again.info().fences.length]).toEqual([1, 2])
  first.signal(1)
  using rest = SyncFile.merge(a, b)
  expect(rest.fence).toBe(b.fence)
})

test('SF-21: closing what was merged does not touch the result', () => {
  using timeline = new Timeline()
  const a = SyncFile.from(timeline.createFence())
  const b = SyncFile.from(new Timeline().createFence())
  using merged = SyncFile.merge(a, b)
  void [a.fd, b.fd]
  a.close()
  b.close()
  expect(merged.info().fences).toHaveLength(2)
  expect(readable(merged)).toBe(false)
  expect(codeNow(() => a.fd)).toBe('EBADF')
})

test('SF-23: a file without a name is called after its fence', () => {
  using timeline = new Timeline('engine')
  using file = SyncFile.from(timeline.createFence(7))
  expect(file.name).toBe(`dmabuf-engine${timeline.context}-7`)
})

test('SF-25, SF-26: one that failed is readable, and its error is the status of the whole', () => {
  using first = new Timeline()
  using second = new Timeline()
  using failed = SyncFile.from(first.createFence())
  using other = SyncFile.from(second.createFence())
  using merged = SyncFile.merge(failed, other)
  first.signal(1, { error: -5 })
  expect([readable(failed), failed.info().status]).toEqual([true, -5])
  expect([readable(merged), merged.info().status, merged.fence.status]).toEqual([false, -5, 'pending'])
  second.signal(1)
  expect([merged.fence.error, merged.info().status]).toEqual([-5, -5])
})

test('SW-05: a merge of fences of one timeline is the latest of them', () => {
  using timeline = new Timeline()
  const files = [1, 2, 3].map((seqno) => SyncFile.from(timeline.createFence(seqno)))
  const merged = files.reduce((sum, file) => SyncFile.merge(sum, file))
  expect(merged.fence).toBe(files[2]?.fence)
})

test('a descriptor that is asked for while its fence signals is readable, and nothing stays open', () => {
  for (const end of ['signal', 'close'] as const) {
    const timeline = new Timeline()
    const [first, second] = [timeline.createFence(), timeline.createFence()]
    const file = SyncFile.from(second)
    first.addCallback(() => expect(readable(file)).toBe(true))
    if (end === 'signal') timeline.signal(second)
    else timeline.close()
    expect([second.isSignalled, readable(file)]).toEqual([true, true])
    file.close()
    timeline.close()
  }
})

test('a forgotten file closes its descriptors', () => {
  using timeline = new Timeline()
  void SyncFile.from(new FenceArray([timeline.createFence(), new Timeline().createFence()])).fd
  void SyncFile.from(Fence.signalled()).fd
})

test('what is no fence, no file, no name is refused', () => {
  using file = SyncFile.from(Fence.signalled())
  expect(codeNow(() => SyncFile.from({} as Fence))).toBe('EINVAL')
  expect(codeNow(() => SyncFile.merge(file, {} as SyncFile))).toBe('EINVAL')
  expect(codeNow(() => SyncFile.from(file.fence, { name: 'x'.repeat(32) }))).toBe('EINVAL')
})
