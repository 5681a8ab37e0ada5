import { constants } from 'node:os'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { createSegment } from '../../src/memory/segment.ts'
import { ArrayWords } from '../../src/memory/shared-words.ts'
import { addon } from '../../src/native/load.ts'
import type { Fence } from '../../src/sync/fence.ts'
import { receiveFence } from '../../src/sync/receive-fence.ts'
import type { ReceivedFence } from '../../src/sync/remote-fence.ts'
import {
  readFence,
  TIMELINE_PAGE_BYTES,
  TimelineHeader,
  writeClosed,
  writeError,
  writeReached,
  writeTimeline,
  writeTimelineHeader,
} from '../../src/sync/timeline-words.ts'
import { useCensus } from '../support/census.ts'
import { untilCollected } from '../support/until.ts'
import { warmFences } from '../support/warm-fences.ts'

beforeAll(warmFences)
useCensus()

const place: ReceivedFence = { slot: 3, contextLow: 9, contextHigh: 0, seqno: 5, timelineName: 'hostile' }

/** A signaller in this very test, which does what it likes. */
function signaller(bytes = TIMELINE_PAGE_BYTES) {
  const native = addon()
  const page = createSegment('hostile', bytes)
  writeTimelineHeader(page.words)
  if (bytes === TIMELINE_PAGE_BYTES) writeTimeline(page.words, 3, { contextLow: 9, contextHigh: 0, seqno: 0 })
  native.socketPair()
  const [mine = -1, theirs = -1] = native.scratch.descriptors
  return {
    words: page.words,
    receive: (what: ReceivedFence = place) =>
      receiveFence(what, native.duplicate(page.fd), native.duplicate(theirs)),
    hangUp: () => native.close(mine),
    close: () => {
      native.close(mine)
      native.close(theirs)
      page.mapping.close()
      native.close(page.fd)
    },
  }
}

function received(fence: Fence | string): Fence {
  if (typeof fence === 'string') throw new Error(fence)
  return fence
}

const { ENODATA } = constants.errno

test('a page that is too small, not sealed, or none at all is refused, and so is an end that is no socket', () => {
  const native = addon()
  const small = signaller(4096)
  expect(small.receive()).toMatch(/4096 bytes/)
  small.close()
  const good = signaller()
  expect(good.receive({ ...place, slot: 511 })).toMatch(/511/)
  good.words.set(TimelineHeader.magic, 0)
  expect(good.receive()).toMatch(/none/)
  good.close()
  const unsealed = native.memfdCreate('unsealed', 0)
  native.allocate(unsealed, TIMELINE_PAGE_BYTES)
  native.socketPair()
  const [a = -1, b = -1] = native.scratch.descriptors
  expect(receiveFence(place, unsealed, a)).toMatch(/sealed/)
  native.close(b)
  const page = createSegment('good', TIMELINE_PAGE_BYTES)
  writeTimelineHeader(page.words)
  page.mapping.close()
  const end = native.open('/dev/null', 0, 0)
  expect(receiveFence(place, page.fd, end)).toMatch(/socket/)
})

test('a signaller that closes its end early and says nothing does not keep anybody waiting for ever', async () => {
  const hostile = signaller()
  const fence = received(hostile.receive())
  const waited = fence.wait()
  hostile.hangUp()
  expect(await fence.wait({ timeout: 50 })).toBe(false)
  expect(await waited).toBe(true)
  expect(fence.error).toBe(-130)
  hostile.close()
})

test('a signaller whose page says that it has ended is believed at once', async () => {
  const hostile = signaller()
  const fence = received(hostile.receive())
  hostile.words.store(TimelineHeader.ended, 1)
  expect([fence.status, fence.error]).toEqual(['error', -130])
  hostile.close()
})

test('errors that are none, and another timeline in the slot, are an error of ours', () => {
  const hostile = signaller()
  const first = received(hostile.receive())
  writeError(hostile.words, 3, 5, -0x7fff_ffff)
  writeReached(hostile.words, 3, 5, 1n)
  expect(first.error).toBe(-22)
  const second = received(hostile.receive({ ...place, seqno: 6 }))
  writeTimeline(hostile.words, 3, { contextLow: 10, contextHigh: 0, seqno: 0 })
  expect(second.error).toBe(-2)
  hostile.close()
})

test('a fence that nobody has any more leaves nothing behind, though it never signals', async () => {
  const hostile = signaller()
  hostile.receive()
  hostile.close()
  await untilCollected(() => true, 'it is collected')
})

test('a page full of anything is read without harm', () => {
  const array = new Uint32Array(TIMELINE_PAGE_BYTES / 4)
  const words = new ArrayWords(array)
  const word = fc.nat(2 ** 32 - 1)
  fc.assert(
    fc.property(fc.array(word, { minLength: 32, maxLength: 32 }), word, word, (slot, contextLow, seqno) => {
      array.set(slot, 32)
      const reached = readFence(words, { slot: 0, contextLow, contextHigh: 0, seqno })
      if (reached?.error === undefined) return
      expect(reached.error).toBeGreaterThanOrEqual(-4095)
      expect(reached.error).toBeLessThan(0)
    }),
  )
})

test('a reader knows the error of every one of the last twelve that failed, of none before whether it did', () => {
  const words = new ArrayWords(new Uint32Array(TIMELINE_PAGE_BYTES / 4))
  const at = { slot: 7, contextLow: 1, contextHigh: 2 }
  writeTimeline(words, 7, { ...at, seqno: 0xffff_fff0 })
  const all = Array.from({ length: 30 }, (_, index) => (0xffff_fff1 + index) >>> 0)
  for (const [index, seqno] of all.entries()) {
    expect(readFence(words, { ...at, seqno })).toBeUndefined()
    if (index % 2 === 0) writeError(words, 7, seqno, -1 - index)
    writeReached(words, 7, seqno, BigInt(index + 1))
    expect(readFence(words, { ...at, seqno })?.timestamp).toBe(BigInt(index + 1))
  }
  const known = all.map((seqno) => readFence(words, { ...at, seqno })?.error)
  // Three of fifteen errors have lost their places, the last of them that of number 4.
  expect(known.slice(0, 5)).toEqual(Array(5).fill(-ENODATA))
  expect(known.slice(5)).toEqual(all.slice(5).map((_, index) => (index % 2 === 1 ? -6 - index : undefined)))
  writeClosed(words, 7, -2)
  expect(readFence(words, { ...at, seqno: 4000 })?.error).toBe(-2)
})

test('an error that was forgotten long ago makes no later fence fail, though numbers wrap around', () => {
  const words = new ArrayWords(new Uint32Array(TIMELINE_PAGE_BYTES / 4))
  const at = { slot: 0, contextLow: 1, contextHigh: 0 }
  writeTimeline(words, 0, { ...at, seqno: 0 })
  for (let seqno = 1; seqno <= 13; seqno++) {
    writeError(words, 0, seqno, -5)
    writeReached(words, 0, seqno, 1n)
  }
  expect(readFence(words, { ...at, seqno: 1 })?.error).toBe(-ENODATA)
  for (let step = 1; step <= 9; step++) {
    const seqno = (13 + step * 2 ** 29) >>> 0
    writeReached(words, 0, seqno, 1n)
    expect(readFence(words, { ...at, seqno })).toEqual({ error: undefined, timestamp: 1n })
    expect(readFence(words, { ...at, seqno: (seqno - 1000) >>> 0 })?.error).toBeUndefined()
  }
})
