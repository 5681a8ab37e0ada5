import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { HOLDER_SEGMENT_BYTES, SLOT_WORDS, SLOTS, Slot } from '../../src/dmabuf/words.ts'
import { bufinfo, type Channel, type DmaBuf, limits, SystemHeap } from '../../src/index.ts'
import { errno } from '../../src/internal/errors.ts'
import { clearWords, type SharedWords } from '../../src/memory/shared-words.ts'
import { addon } from '../../src/native/load.ts'
import { PrivateType } from '../../src/share/private-message.ts'
import { useCensus } from '../support/census.ts'
import { closePair, expectAlive, warmUp } from '../support/dropped.ts'
import { memfd, pipeEnd, STATE_SEALS, STORAGE_SEALS } from '../support/fake-exporter.ts'
import { type RawBuffer, RawHolder, readBuffer, takeBuffer } from '../support/raw-holder.ts'
import { RawPeer } from '../support/raw-peer.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
let channel: Channel
let peer: RawPeer
let door: number
let state: number
let target: DmaBuf
let taken: RawBuffer

beforeAll(async () => {
  await warmUp()
  ;[channel, peer] = RawPeer.pair()
  target = heap.allocateSync(4096)
  // Mapped from now on: where brackets copy, the first one would do it.
  target.withCpuAccessSync('read', ({ bytes }) => bytes[0])
  ;({ door, state, buffer: taken } = await takeBuffer(channel, peer, target))
})
afterAll(async () => {
  for (const fd of [door, state, taken.storage, taken.leash]) addon().close(fd)
  target.close()
  await closePair(channel, peer)
})
beforeEach(() => expect(holders()).toEqual([]))
useCensus()

const holders = () => bufinfo().find((info) => info.fd === target.fd)?.holders ?? []

/** Does something at the door that makes the exporter hang up. */
async function turnedAway(act: (holder: RawHolder) => unknown): Promise<void> {
  using holder = await RawHolder.knock(door)
  await act(holder)
  await until(async () => (await holder.read()) === 'end', 'the exporter hangs up')
}

/** A holder that is registered for the target. */
async function registered(): Promise<{ holder: RawHolder; words: SharedWords; close: () => void }> {
  const holder = await RawHolder.knock(door)
  const page = holder.page()
  expect((await holder.read()) as object).toMatchObject({ type: PrivateType.welcome })
  holder.send({ type: PrivateType.register, ...taken.name, argument: 0 }, taken.leash)
  await until(() => holders().length === 1, 'the holder is registered')
  const close = () => {
    page.close()
    holder[Symbol.dispose]()
  }
  return { holder, words: page.words, close }
}

async function leave(close: () => void): Promise<void> {
  close()
  await until(() => holders().length === 0, 'the holder is gone')
}

test('an honest holder by hand is welcome, seen, and gone when it goes', async () => {
  const { words, close } = await registered()
  words.set(SLOT_WORDS + Slot.count, 3)
  words.set(SLOT_WORDS + Slot.writers, 2)
  expect(holders()).toMatchObject([{ pid: process.pid, openBrackets: 3, openWriteBrackets: 2 }])
  await leave(close)
  expect(target.withCpuAccessSync('read', (cpu) => cpu.interrupted)).toBe(true)
})

test('messages that are none are turned away', async () => {
  await turnedAway((holder) => holder.sendBytes(new Uint8Array(31)))
  await turnedAway((holder) => holder.sendBytes(new Uint8Array(32)))
  await turnedAway((holder) => holder.sendBytes(new Uint8Array(33)))
  await turnedAway((holder) => holder.sendBytes(new Uint8Array(200_000)))
  await turnedAway((holder) => holder.sendBytes(new Uint8Array(0), [memfd(4096, 0)].map(closing)))
  await expectAlive()
})

test('types that no holder sends are turned away', async () => {
  const { welcome, revoked, freed, storage, go } = PrivateType
  for (const type of [0, 14, 15, welcome, revoked, freed, storage, go, 255]) {
    let close = () => {}
    await turnedAway((holder) => {
      close = holder.page().close
      holder.send({ type })
    })
    close()
  }
})

test('whoever says anything before it shows its page is turned away', async () => {
  for (const type of [PrivateType.release, PrivateType.lowered, PrivateType.want, PrivateType.detach]) {
    await turnedAway((holder) => holder.send({ type, ...taken.name, serial: 1 }))
  }
})

test('pages that are none are turned away', async () => {
  const page = (byteLength: number, seals: number) => (holder: RawHolder) => {
    const fd = memfd(byteLength, seals)
    holder.send({ type: PrivateType.page }, fd)
    addon().close(fd)
  }
  await turnedAway((holder) => holder.send({ type: PrivateType.page }))
  await turnedAway(page(HOLDER_SEGMENT_BYTES, 0))
  await turnedAway(page(HOLDER_SEGMENT_BYTES, STORAGE_SEALS))
  await turnedAway(page(HOLDER_SEGMENT_BYTES * 2, STATE_SEALS))
  await turnedAway(page(4096, STATE_SEALS))
  // Sealed as it must be, and without its magic word.
  await turnedAway(page(HOLDER_SEGMENT_BYTES, STATE_SEALS))
  await turnedAway((holder) => holder.send({ type: PrivateType.page }, closing(pipeEnd())))
})

test('more descriptors than one are turned away', async () => {
  await turnedAway((holder) => {
    const bytes = new Uint8Array(32)
    holder.sendBytes(bytes, [taken.leash, taken.leash, taken.storage])
  })
})

test('more pages than the limit are turned away, and unmapped', async () => {
  const closes: (() => void)[] = []
  await turnedAway((holder) => {
    for (let count = 0; count <= limits.maxHolderSegments; count++) closes.push(holder.page().close)
  })
  for (const close of closes) close()
})

test('a registration without a page, beyond it, or without a leash is turned away', async () => {
  const register = { type: PrivateType.register, ...taken.name }
  await turnedAway((holder) => holder.send({ ...register, argument: 0 }, taken.leash))
  for (const argument of [SLOTS, 0xffff_ffff]) {
    let close = () => {}
    await turnedAway((holder) => {
      close = holder.page().close
      holder.send({ ...register, argument }, taken.leash)
    })
    close()
  }
  let close = () => {}
  await turnedAway((holder) => {
    close = holder.page().close
    holder.send(register)
  })
  close()
  await turnedAway((holder) => {
    close = holder.page().close
    holder.send(register, taken.storage)
  })
  close()
})

test('the leash of another buffer, or any pipe, is no proof: EACCES, and nobody is registered', async () => {
  using other = heap.allocateSync(4096)
  await channel.send({}, [other])
  const foreign = await readBuffer(peer)
  using holder = await RawHolder.knock(door)
  const page = holder.page()
  await holder.read()
  const pipe = pipeEnd()
  const attempts: [object, number][] = [
    [taken.name, foreign.leash],
    [taken.name, pipe],
    [foreign.name, taken.leash],
    [{ ...taken.name, idLow: taken.name.idLow + 1000 }, taken.leash],
    [{ ...taken.name, record: 1022 }, taken.leash],
    [{ ...taken.name, record: 0xffff_ffff }, taken.leash],
    [{ ...taken.name, segment: 77 }, taken.leash],
    [{ record: 500, idLow: 0, idHigh: 0 }, taken.leash],
  ]
  for (const [name, leash] of attempts) {
    holder.send({ type: PrivateType.register, ...name, argument: 0 }, leash)
    expect(await holder.read()).toMatchObject({ type: PrivateType.error, argument: errno.EACCES })
  }
  expect(holders()).toEqual([])
  // Releasing what was never registered is no matter.
  holder.send({ type: PrivateType.release, ...foreign.name })
  holder.send({ type: PrivateType.register, ...taken.name, argument: 0 }, taken.leash)
  await until(() => holders().length === 1, 'the holder is registered')
  page.close()
  for (const fd of [pipe, foreign.storage, foreign.leash]) addon().close(fd)
})

test('counts beyond the limit count as none, and break nothing', async () => {
  for (const value of [limits.maxOpenBrackets + 1, 0x7fff_ffff, 0xffff_ffff]) {
    const { words, close } = await registered()
    for (let word = SLOT_WORDS; word < 2 * SLOT_WORDS; word++) words.set(word, value)
    expect(holders()).toMatchObject([{ openBrackets: 0, openWriteBrackets: 0 }])
    await leave(close)
    expect(target.withCpuAccessSync('read', (cpu) => cpu.interrupted)).toBe(false)
  }
})

test('a page that changes all the time is read, never believed', async () => {
  const { words, close } = await registered()
  for (let round = 0; round < 2000; round++) {
    for (let word = 0; word < 2 * SLOT_WORDS; word++) words.set(word, Math.floor(Math.random() * 2 ** 32))
    const [holder] = holders()
    expect(holder?.openBrackets).toBeLessThanOrEqual(limits.maxOpenBrackets)
    expect(holder?.openWriteBrackets).toBeLessThanOrEqual(limits.maxOpenBrackets)
  }
  clearWords(words, SLOT_WORDS, HOLDER_SEGMENT_BYTES / 4)
  await leave(close)
})

test('half a handshake is nothing: cut after any step, nothing is left', async () => {
  for (let steps = 0; steps <= 3; steps++) {
    const holder = await RawHolder.knock(door)
    const page = steps > 0 ? holder.page() : undefined
    if (steps > 1) holder.send({ type: PrivateType.register, ...taken.name, argument: 0 }, taken.leash)
    if (steps > 2) holder.send({ type: PrivateType.release, ...taken.name })
    holder[Symbol.dispose]()
    page?.close()
  }
  await expectAlive()
  await until(() => holders().length === 0, 'all are gone')
})

test('a flood of messages leaves the event loop its turns', async () => {
  const { holder, close } = await registered()
  let turns = 0
  let flooding = true
  const count = () => {
    turns++
    if (flooding) setImmediate(count)
  }
  setImmediate(count)
  for (let sent = 0; sent < 20_000; ) {
    if (holder.send({ type: PrivateType.release, ...taken.name, idLow: 12_345 }) > 0) sent++
    else await new Promise(setImmediate)
  }
  flooding = false
  expect(turns).toBeGreaterThan(10)
  await expectAlive()
  await leave(close)
})

test('any private message whatever is survived', async () => {
  const fuzz = fc.asyncProperty(
    fc.array(
      fc.record({
        type: fc.constantFrom(1, 2, 3, 16, 200),
        segment: fc.integer({ min: 0, max: 2 }),
        record: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xffff_ffff })),
        idLow: fc.integer({ min: 0, max: 3 }),
        argument: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xffff_ffff })),
        fd: fc.constantFrom(-1, 0, 1, 2),
      }),
      { maxLength: 8 },
    ),
    async (messages) => {
      using holder = await RawHolder.knock(door)
      const page = holder.page()
      for (const { fd, ...values } of messages) {
        holder.send(values, [taken.leash, taken.storage, state][fd] ?? -1)
      }
      page.close()
    },
  )
  await fc.assert(fuzz, { numRuns: 200 })
  await until(() => holders().length === 0, 'all are gone')
  await expectAlive()
})

/** Closes a descriptor in the next turn, when it has been sent. */
function closing(fd: number): number {
  setImmediate(() => addon().close(fd))
  return fd
}
