import { beforeAll, expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import { RECORD_WORDS, RecordFlag, StateRecord } from '../../src/dmabuf/words.ts'
import { bufinfo, type Channel, type DmaBuf, limits } from '../../src/index.ts'
import { Seal } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { HandleFlag } from '../../src/share/handle.ts'
import { segmentsBody, storageBody } from '../../src/share/private-body.ts'
import { type PrivateInit, PrivateType } from '../../src/share/private-message.ts'
import { useCensus } from '../support/census.ts'
import { closePair, expectAlive, expectDropped, warmUp } from '../support/dropped.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'
import { FakeExporter, memfd, STORAGE_SEALS } from '../support/fake-exporter.ts'
import { message, RawPeer } from '../support/raw-peer.ts'
import { type RawMessage, RawPrivate } from '../support/raw-private.ts'
import { until } from '../support/until.ts'

const SIZE = 4096
const placed = HandleFlag.placed | HandleFlag.leash

beforeAll(warmUp)
useCensus()

/** An exporter by hand whose buffer is placed and was received here: its connection, its words, the buffer. */
interface Stage {
  readonly exporter: FakeExporter
  readonly door: RawPrivate
  readonly buffer: DmaBuf
  readonly channel: Channel
  readonly peer: RawPeer
  /** What the holder registered with. */
  readonly registration: RawMessage
  /** Sends about the buffer, with the serial of its registration. */
  say(values: PrivateInit, fd?: number, body?: Uint8Array): void
  /** Offers storage of this generation, good unless told otherwise. */
  offer(
    generation: number,
    lies?: { byteLength?: number; offset?: number; seals?: number; serial?: number },
  ): void
  /** A word of the record. */
  set(word: number, value: number): void
}

async function play(act: (stage: Stage) => Promise<void>): Promise<void> {
  using exporter = new FakeExporter()
  const native = addon()
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  expect(native.socketPair()).toBe(0)
  const [ours = -1, theirs = -1] = native.scratch.descriptors
  using door = new RawPrivate(ours)
  exporter.introduce(peer, theirs)
  native.close(theirs)
  const set = (word: number, value: number) => exporter.words.store(RECORD_WORDS + word, value)
  set(StateRecord.flags, RecordFlag.placed)
  set(StateRecord.generation, 0)
  peer.send(message('{}', [{ flags: placed, generation: 0 }], 1), [exporter.leash])
  const buffer = (await channel.receive()).buffers[0] as DmaBuf
  door.send({ type: PrivateType.welcome })
  const registration = await door.readType(PrivateType.register)
  for (const fd of registration.descriptors) native.close(fd)
  const { serial } = registration
  const say = (values: PrivateInit, fd = -1, body?: Uint8Array) => {
    door.send({ idLow: 1, serial, ...values }, fd, body)
  }
  const stage: Stage = {
    ...{ exporter, door, buffer, channel, peer, registration, say, set },
    offer: (
      generation,
      { byteLength = SIZE, offset = 0, seals = STORAGE_SEALS, serial: other = serial } = {},
    ) => {
      const fd = memfd(SIZE, seals)
      say({ type: PrivateType.storage, generation, serial: other }, fd, storageBody({ byteLength, offset }))
      native.close(fd)
    },
  }
  try {
    await act(stage)
  } finally {
    buffer.close()
    await closePair(channel, peer)
  }
  await expectAlive()
}

const enter = (buffer: DmaBuf) => buffer.beginCpuAccessSync('read').end()
const soon = (buffer: DmaBuf) => buffer.beginCpuAccess('read', { signal: AbortSignal.timeout(100) })
const mapped = () => bufinfo().find(({ name }) => name === 'raw')?.generation

test('an honest exporter by hand is entered, moves, and is entered again', async () => {
  await play(async ({ buffer, offer, set, say, door, registration }) => {
    expect(codeNow(() => enter(buffer))).toBe('EAGAIN')
    const waiting = buffer.beginCpuAccess('read')
    expect(await door.readType(PrivateType.want)).toMatchObject({ idLow: 1 })
    offer(1)
    set(StateRecord.generation, 1)
    say({ type: PrivateType.go, generation: 1 })
    ;(await waiting).end()
    expect(await door.readType(PrivateType.taken)).toMatchObject({
      generation: 1,
      serial: registration.serial,
    })
    set(StateRecord.moving, 1)
    expect(codeNow(() => enter(buffer))).toBe('EAGAIN')
    expect(await door.readType(PrivateType.lowered)).toMatchObject({ serial: registration.serial })
    offer(2)
    set(StateRecord.generation, 2)
    set(StateRecord.moving, 0)
    // It finds the storage in the socket, without a turn of its loop.
    enter(buffer)
    expect(mapped()).toBe(2)
  })
})

test('storage that is none, or less than promised, ends the connection, and what waits is ENODEV', async () => {
  const bad: ((stage: Stage) => void)[] = [
    ({ say }) =>
      say({ type: PrivateType.storage, generation: 1 }, -1, storageBody({ byteLength: SIZE, offset: 0 })),
    ({ offer }) => offer(1, { seals: 0 }),
    ({ offer }) => offer(1, { seals: Seal.shrink | Seal.grow | Seal.futureWrite }),
    ({ offer }) => offer(1, { offset: 1 }),
    ({ offer }) => offer(1, { offset: 2 ** 53 }),
    ({ say, exporter }) =>
      say(
        { type: PrivateType.storage, generation: 1 },
        exporter.leash,
        storageBody({ byteLength: SIZE, offset: 0 }),
      ),
    ({ say, exporter }) => say({ type: PrivateType.storage, generation: 1 }, exporter.storage),
    ({ say, exporter }) => say({ type: PrivateType.go, generation: 1 }, exporter.storage),
    ({ offer }) => {
      for (let generation = 1; generation <= limits.maxUnreadStorages + 1; generation++) offer(generation)
    },
  ]
  for (const lie of bad) {
    await play(async (stage) => {
      const waiting = codeOf(() => stage.buffer.beginCpuAccess('read'))
      const fixing = codeOf(() => stage.buffer.fix())
      await stage.door.readType(PrivateType.want)
      lie(stage)
      await until(async () => (await stage.door.read()) === 'end', 'the holder hangs up')
      expect([await waiting, await fixing]).toEqual(['ENODEV', 'ENODEV'])
      stage.set(StateRecord.generation, 1)
      expect(codeNow(() => enter(stage.buffer))).toBe('ENODEV')
    })
  }
})

test('a forwarder that told another size is found out, and its word is no memory', async () => {
  await play(async ({ buffer, offer, set }) => {
    const waiting = failure(() => buffer.beginCpuAccess('read'))
    offer(1, { byteLength: SIZE / 2 })
    set(StateRecord.generation, 1)
    expect(await waiting).toMatchObject({ code: 'EPROTO' })
    expect(codeNow(() => enter(buffer))).toBe('EPROTO')
  })
})

test('what belongs to another registration, or to nothing, is passed over', async () => {
  await play(async ({ buffer, offer, set, say, registration }) => {
    const { serial } = registration
    offer(1, { serial: serial + 1 })
    set(StateRecord.generation, 1)
    say({ type: PrivateType.evicted, serial: serial + 1 })
    say({ type: PrivateType.go, generation: 1, serial: serial + 1 })
    say({ type: PrivateType.moved, argument: 77 })
    say({ type: PrivateType.go, idLow: 99 })
    expect(codeNow(() => enter(buffer))).toBe('EAGAIN')
    offer(1)
    await until(() => mapped() === 1 || enter(buffer) === undefined, 'it is entered')
  })
})

test('a flag that is never taken back keeps nobody who has a signal', async () => {
  await play(async ({ buffer, offer, set, door }) => {
    offer(1)
    set(StateRecord.generation, 1)
    set(StateRecord.moving, 1)
    expect(await codeOf(() => soon(buffer))).toBe('ABORT_ERR')
    expect(codeNow(() => enter(buffer))).toBe('EAGAIN')
    const waiting = buffer.beginCpuAccess('read')
    // A hang-up ends it: nobody is there who could be moving the buffer.
    door.close()
    ;(await waiting).end()
    enter(buffer)
  })
})

test('words that change all the time keep neither the event loop nor the caller', async () => {
  await play(async ({ buffer, offer, exporter, say }) => {
    offer(1)
    for (let round = 0; round < 300; round++) {
      for (let word = 0; word < 4; word++) {
        exporter.words.set(RECORD_WORDS + word, Math.floor(Math.random() * 3))
      }
      exporter.words.set(
        RECORD_WORDS + StateRecord.flags,
        RecordFlag.placed | (round % 7 === 0 ? RecordFlag.fixed : 0),
      )
      if (round % 50 === 0) say({ type: PrivateType.go, generation: round % 3 })
      const access = buffer.beginCpuAccess('read', { signal: AbortSignal.timeout(5) })
      await access.then((cpu) => cpu.end()).catch((error) => expect(error.code).toMatch(/ABORT_ERR|ENODEV/))
    }
  })
})

test('generations that no storage came for are waited for, and no more', async () => {
  await play(async ({ buffer, offer, set, say }) => {
    offer(1)
    set(StateRecord.generation, 1)
    await until(() => enter(buffer) === undefined, 'it is entered')
    set(StateRecord.generation, 9)
    say({ type: PrivateType.go, generation: 9 })
    expect(await codeOf(() => soon(buffer))).toBe('ABORT_ERR')
    expect(codeNow(() => enter(buffer))).toBe('EAGAIN')
    expect(mapped()).toBe(1)
  })
})

test('a flood of messages keeps no bracket', async () => {
  await play(async ({ buffer, offer, set, say, door }) => {
    offer(1)
    set(StateRecord.generation, 2)
    for (let count = 0; count < 100; count++) say({ type: PrivateType.go, generation: 7 })
    expect(codeNow(() => enter(buffer))).toBe('EAGAIN')
    offer(2)
    await until(() => enter(buffer) === undefined, 'it is entered')
    door.close()
  })
})

/** Attaches a device to the exporter by hand, which agrees. */
async function attached({ buffer, door }: Stage) {
  const attaching = buffer.attach(new Device('here'))
  const { serial } = await door.readType(PrivateType.attach)
  door.send({ type: PrivateType.done, serial })
  return attaching
}

test('tables that are none end the connection, and the map is ENODEV', async () => {
  const page = { address: 4096, length: 4096 }
  const bad: ((serial: number) => readonly [PrivateInit, Uint8Array | undefined])[] = [
    (serial) => [{ type: PrivateType.done, serial }, undefined],
    (serial) => [{ type: PrivateType.segments, serial: serial + 1 }, segmentsBody([page], 0)],
    (serial) => [{ type: PrivateType.segments, serial }, segmentsBody([{ ...page, length: 0 }], 0)],
    (serial) => [{ type: PrivateType.segments, serial }, segmentsBody([{ ...page, length: 2048 }], 0)],
    (serial) => [{ type: PrivateType.segments, serial }, segmentsBody([page, page], 0)],
    (serial) => [{ type: PrivateType.segments, serial, argument: 4096 }, segmentsBody([page, page], 0)],
    (serial) => [{ type: PrivateType.segments, serial }, segmentsBody([{ ...page, address: 2 ** 60 }], 0)],
    (serial) => [{ type: PrivateType.segments, serial }, segmentsBody([page], 0).subarray(0, 20)],
    (serial) => [{ type: PrivateType.segments, serial }, segmentsBody(Array(5000).fill(page), 0)],
    (serial) => [{ type: PrivateType.error, serial }, new TextEncoder().encode('{')],
    (serial) => [{ type: PrivateType.error, serial }, new TextEncoder().encode('{"code":5}')],
    (serial) => [{ type: PrivateType.error, serial: serial + 1 }, new TextEncoder().encode('{}')],
  ]
  for (const answer of bad) {
    await play(async (stage) => {
      const attachment = await attached(stage)
      const mapping = codeOf(() => attachment.map('to-device'))
      const { serial } = await stage.door.readType(PrivateType.map)
      const [values, body] = answer(serial)
      stage.door.send(values, -1, body)
      expect(await mapping).toBe('ENODEV')
      attachment.detach()
    })
  }
})

test('a table that never ends is cut off at the pages that the buffer has', async () => {
  await play(async (stage) => {
    const attachment = await attached(stage)
    const mapping = codeOf(() => attachment.map('to-device'))
    const { serial } = await stage.door.readType(PrivateType.map)
    const part = segmentsBody([{ address: 4096, length: 1 }], 1)
    for (let count = 0; count < 8; count++) stage.door.send({ type: PrivateType.segments, serial }, -1, part)
    expect(await mapping).toBe('ENODEV')
    attachment.detach()
  })
})

test('an error in words is given as it came, cut to a sensible length', async () => {
  await play(async (stage) => {
    const attachment = await attached(stage)
    const mapping = failure(() => attachment.map('to-device'))
    const { serial } = await stage.door.readType(PrivateType.map)
    const words = {
      code: 'EINVAL',
      errno: -22,
      message: 'x'.repeat(9000),
      rule: 'contiguous',
      needed: 5,
      got: 'b',
    }
    stage.door.send({ type: PrivateType.error, serial }, -1, new TextEncoder().encode(JSON.stringify(words)))
    const error = await mapping
    expect(error).toMatchObject({
      code: 'EINVAL',
      errno: -22,
      rule: 'contiguous',
      needed: undefined,
      got: 'b',
    })
    expect(error.message.length).toBeLessThan(1000)
    attachment.detach()
  })
})

test('an answer to a map that was withdrawn is undone', async () => {
  await play(async (stage) => {
    const attachment = await attached(stage)
    const controller = new AbortController()
    const mapping = codeOf(() => attachment.map('to-device', { signal: controller.signal }))
    const { serial } = await stage.door.readType(PrivateType.map)
    controller.abort()
    expect(await mapping).toBe('ABORT_ERR')
    expect(await stage.door.readType(PrivateType.cancel)).toMatchObject({ serial })
    const table = segmentsBody([{ address: 4096, length: 4096 }], 0)
    stage.door.send({ type: PrivateType.segments, serial, generation: 1 }, -1, table)
    await stage.door.readType(PrivateType.unmap)
    attachment.detach()
  })
})

test('handles of placed buffers are believed no more than others', async () => {
  using exporter = new FakeExporter()
  const both = HandleFlag.storage | HandleFlag.leash
  const attempts: [recordFlags: number, handleFlags: number, descriptors: number[], what: RegExp][] = [
    [0, placed, [exporter.leash], /never placed/],
    [RecordFlag.placed, both, [exporter.storage, exporter.leash], /takes a placed buffer for a fixed one/],
    [RecordFlag.placed, HandleFlag.placed, [], /without a leash/],
    [RecordFlag.placed, placed | HandleFlag.bare, [exporter.leash], /without storage/],
    [
      RecordFlag.placed,
      placed | both | HandleFlag.fallback,
      [exporter.leash, exporter.leash],
      /cannot be mapped/,
    ],
  ]
  for (const [recordFlags, flags, descriptors, what] of attempts) {
    const [channel, peer] = RawPeer.pair()
    peer.hello()
    exporter.words.set(RECORD_WORDS + StateRecord.flags, recordFlags)
    exporter.introduce(peer)
    peer.send(message('{}', [{ flags }], descriptors.length), descriptors)
    await expectDropped(channel, what)
    await closePair(channel, peer)
  }
})

test('a fallback that is not what the record of a dead exporter names is not entered', async () => {
  for (const lie of ['none', 'storage', 'generation'] as const) {
    using exporter = new FakeExporter()
    const [channel, peer] = RawPeer.pair()
    peer.hello()
    const native = addon()
    native.socketPair()
    const [ours = -1, theirs = -1] = native.scratch.descriptors
    exporter.words.set(RECORD_WORDS + StateRecord.flags, RecordFlag.placed)
    exporter.introduce(peer, theirs)
    native.close(theirs)
    const other = memfd(SIZE, STORAGE_SEALS)
    const storage = lie === 'storage' ? other : exporter.storage
    const flags = placed | HandleFlag.storage | HandleFlag.fallback
    const generation = lie === 'generation' ? 2 : 1
    peer.send(message('{}', [{ flags, generation }], 2), [storage, exporter.leash])
    const buffer = (await channel.receive()).buffers[0] as DmaBuf
    // Its exporter lives: the fallback is of no use.
    expect(codeNow(() => enter(buffer))).toBe('EAGAIN')
    native.close(ours)
    await until(() => bufinfo().length === 1, 'it is here')
    if (lie === 'none') await buffer.withCpuAccess('read', (cpu) => expect(cpu.bytes[0]).toBe(0))
    else expect(await codeOf(() => buffer.beginCpuAccess('read'))).toBe('ENODEV')
    buffer.close()
    native.close(other)
    await closePair(channel, peer)
  }
})
