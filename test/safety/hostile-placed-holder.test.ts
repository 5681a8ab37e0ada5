import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import { SLOT_WORDS, Slot } from '../../src/dmabuf/words.ts'
import { bufinfo, type Channel, type DmaBuf, limits, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { deviceText } from '../../src/share/device-text.ts'
import { directionBody, errorFrom } from '../../src/share/private-body.ts'
import { type PrivateInit, PrivateType } from '../../src/share/private-message.ts'
import { shift } from '../children/shift.ts'
import { useCensus } from '../support/census.ts'
import { closePair, expectAlive, warmUp } from '../support/dropped.ts'
import { codeOf } from '../support/fails.ts'
import { RawHolder, type RawPlaced, readBuffer, takePlaced } from '../support/raw-holder.ts'
import { RawPeer } from '../support/raw-peer.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
const SIZE = 4096
let channel: Channel
let peer: RawPeer
let target: DmaBuf
let taken: RawPlaced
/** Its moves wait, because this process is inside. */
let slow: DmaBuf
let slowly: RawPlaced

beforeAll(async () => {
  await warmUp()
  ;[channel, peer] = RawPeer.pair()
  target = await heap.allocate(SIZE, { name: 'target', movable: true, moveTimeout: 50, evict: true })
  await target.withCpuAccess('write', (cpu) => cpu.bytes.fill(1))
  taken = await takePlaced(channel, peer, target)
  slow = await heap.allocate(SIZE, { name: 'slow', movable: true, moveTimeout: 30_000 })
  await slow.beginCpuAccess('write')
  await channel.send({}, [slow])
  const { name, storage } = await readBuffer(peer)
  slowly = { ...taken, name, leash: storage }
})
afterAll(async () => {
  for (const fd of [taken.door, taken.state, taken.leash, slowly.leash]) addon().close(fd)
  target.close()
  slow.close()
  await closePair(channel, peer)
})
beforeEach(() => expect([info().holders, info('slow').holders]).toEqual([[], []]))
useCensus()

const encoder = new TextEncoder()
const info = (of = 'target') => {
  const found = bufinfo().find(({ name }) => name === of)
  if (found === undefined) throw new Error('no target')
  return found
}

/** A holder by hand, registered, which has its storage: the test closes all of it. */
async function registered(serial = 1, { name, leash, door } = taken) {
  const holder = await RawHolder.knock(door)
  const page = holder.page()
  holder.send({ type: PrivateType.register, ...name, serial, argument: 0 }, leash)
  const { generation, descriptors } = await holder.readType(PrivateType.storage)
  for (const fd of descriptors) addon().close(fd)
  const close = async () => {
    page.close()
    holder.close()
    await until(() => info().holders.length + info('slow').holders.length === 0, 'the holder is gone')
  }
  return { holder, words: page.words, generation, close }
}

/** Does something that makes the exporter hang up. */
async function turnedAway(act: (holder: RawHolder) => unknown, of = taken): Promise<void> {
  const { holder, close } = await registered(1, of)
  await act(holder)
  await until(async () => {
    const message = await holder.read()
    if (message === 'end') return true
    for (const fd of message.descriptors) addon().close(fd)
    return false
  }, 'the exporter hangs up')
  await close()
}

const device = encoder.encode(
  deviceText({
    deviceName: 'raw',
    pid: 0,
    constraints: new Device('raw').constraints,
    moveNotify: undefined,
  }),
)

const attach = (holder: RawHolder, id: number, serial: number, body: Uint8Array = device) =>
  holder.send({ type: PrivateType.attach, ...taken.name, argument: id, serial }, -1, body)

/** Maps for a device that the memory does not suit. */
function waitForever(holder: RawHolder, serial: number): void {
  const body = encoder.encode(
    deviceText({
      ...{ deviceName: 'low', pid: 0, moveNotify: undefined },
      constraints: new Device('low', { dmaMask: 0xff_ffffn }).constraints,
    }),
  )
  holder.send({ type: PrivateType.attach, ...slowly.name, argument: 9, serial: 1000 }, -1, body)
  holder.send({ type: PrivateType.map, argument: 9, serial }, -1, directionBody('to-device'))
}

test('an honest holder by hand attaches, maps, unmaps, detaches', async () => {
  const { holder, close } = await registered()
  attach(holder, 7, 100)
  expect(await holder.read()).toMatchObject({ type: PrivateType.done, serial: 100 })
  holder.send({ type: PrivateType.map, argument: 7, serial: 101 }, -1, directionBody('to-device'))
  expect(await holder.read()).toMatchObject({ type: PrivateType.segments, serial: 101, bodyBytes: 24 })
  expect(await codeOf(() => shift(target))).toBe('EBUSY')
  holder.send({ type: PrivateType.unmap, argument: 7 }, -1, directionBody('to-device'))
  holder.send({ type: PrivateType.detach, argument: 7 })
  await until(() => info().attachedDevices.length === 0, 'it is detached')
  await close()
})

test('a holder that leaves with everything mapped is detached', async () => {
  const { holder, close } = await registered()
  for (let id = 1; id <= 3; id++) {
    attach(holder, id, id)
    holder.send({ type: PrivateType.map, argument: id, serial: 10 + id }, -1, directionBody('to-device'))
  }
  await until(() => info().attachedDevices.length === 3, 'all are attached')
  await close()
  await until(() => info().attachedDevices.length === 0, 'all are detached')
})

test('requests that are none are turned away', async () => {
  const text = (value: unknown) => encoder.encode(JSON.stringify(value))
  const constraints = { dmaMask: '0xffffffff', segmentBoundaryMask: '0xffffffff' }
  const bodies = [
    text(null),
    text([]),
    text('device'),
    text({ deviceName: 'x' }),
    text({ deviceName: 'x', constraints: {} }),
    text({ deviceName: 'x', constraints: { ...constraints, dmaMask: 5 } }),
    text({ deviceName: 'x', constraints: { ...constraints, dmaMask: '0x1ffffffffffffffff' } }),
    text({ deviceName: 'x', constraints: { ...constraints, segmentBoundaryMask: '0x1234' } }),
    text({ deviceName: 'x', constraints: { ...constraints, maxSegments: 0 } }),
    text({ deviceName: 'x', constraints: { ...constraints, maxSegmentSize: 1 } }),
    text({ deviceName: 'x'.repeat(64), constraints }),
    text({ deviceName: '', constraints }),
    encoder.encode('{'),
    new Uint8Array([0xff, 0xfe, 0xfd]),
  ]
  for (const body of bodies) await turnedAway((holder) => attach(holder, 1, 1, body))
  // Longer than any text may be.
  await turnedAway((holder) => attach(holder, 1, 1, new Uint8Array(limits.maxPrivateTextBytes + 1).fill(32)))
  // A number for no attachment, or one that is taken; a serial for no answer, or one that is waited for.
  await turnedAway((holder) => attach(holder, 0, 1))
  await turnedAway((holder) => {
    attach(holder, 1, 1)
    attach(holder, 1, 2)
  })
  await turnedAway((holder) => attach(holder, 1, 0))
  await turnedAway((holder) => {
    waitForever(holder, 1)
    holder.send({ type: PrivateType.map, argument: 9, serial: 1 }, -1, directionBody('to-device'))
  }, slowly)
  for (const type of [PrivateType.map, PrivateType.unmap]) {
    await turnedAway((holder) =>
      holder.send({ type, argument: 1, serial: 1 }, -1, new Uint8Array([9, 0, 0, 0])),
    )
    await turnedAway((holder) => holder.send({ type, argument: 1, serial: 1 }))
    await turnedAway((holder) => holder.send({ type, argument: 1, serial: 1 }, -1, new Uint8Array(8)))
  }
  await turnedAway((holder) => holder.send({ type: PrivateType.want, ...taken.name, serial: 1 }, taken.leash))
  await expectAlive()
  expect(info().attachedDevices).toEqual([])
})

test('a holder that is turned away hears that its buffer goes on without it', async () => {
  for (const break_ of [
    (holder: RawHolder) => holder.send({ type: 255 }),
    (holder: RawHolder) => holder.sendBytes(new Uint8Array(200_000)),
  ]) {
    const { holder, close } = await registered()
    break_(holder)
    expect(await holder.readType(PrivateType.evicted)).toMatchObject({ ...taken.name, serial: 1 })
    expect(await holder.read()).toBe('end')
    await close()
  }
})

test('whoever asks for what it has not gets an error, in words, and no more', async () => {
  const { holder, close } = await registered()
  const ask = async (message: PrivateInit, body?: Uint8Array) => {
    holder.send(message, -1, body)
    const answer = await holder.readType(PrivateType.error)
    expect(answer.serial).toBe(message.serial)
    return errorFrom(Buffer.from(answer.body).toString())?.code
  }
  const foreign = { ...taken.name, idLow: taken.name.idLow + 77 }
  expect(await ask({ type: PrivateType.want, ...foreign, serial: 1 })).toBe('ENODEV')
  expect(await ask({ type: PrivateType.pin, ...foreign, serial: 2 })).toBe('ENODEV')
  expect(await ask({ type: PrivateType.attach, ...foreign, argument: 1, serial: 3 }, device)).toBe('ENODEV')
  expect(await ask({ type: PrivateType.map, argument: 5, serial: 4 }, directionBody('to-device'))).toBe(
    'ENODEV',
  )
  expect(await ask({ type: PrivateType.pin, argument: 5, serial: 5 })).toBe('ENODEV')
  for (const type of [PrivateType.unpin, PrivateType.detach, PrivateType.cancel])
    holder.send({ type, argument: 5 })
  holder.send({ type: PrivateType.unmap, argument: 5 }, -1, directionBody('to-device'))
  expect(await ask({ type: PrivateType.pin, argument: 5, serial: 6 })).toBe('ENODEV')
  await close()
})

test('more requests or attachments than the limits are turned away', async () => {
  await turnedAway(async (holder) => {
    waitForever(holder, 1)
    for (let serial = 2; serial <= limits.maxRequestsPerHolder + 1; serial++) {
      while (holder.send({ type: PrivateType.map, argument: 9, serial }, -1, directionBody('to-device')) < 0)
        await new Promise(setImmediate)
    }
  }, slowly)
  await turnedAway(async (holder) => {
    for (let id = 1; id <= limits.maxAttachmentsPerHolder + 1; id++) {
      attach(holder, id, id)
      if (id <= limits.maxAttachmentsPerHolder) await holder.readType(PrivateType.done)
    }
  })
  await until(() => info().attachedDevices.length === 0, 'all are detached')
})

test('whoever asks and does not read is not listened to, and costs nobody else anything', async () => {
  const { holder, close } = await registered()
  attach(holder, 1, 1)
  let refused = 0
  for (let serial = 2; refused < 100; serial++) {
    const message = { type: PrivateType.map, argument: 1, serial }
    if (holder.send(message, -1, directionBody('to-device')) > 0) refused = 0
    else {
      refused++
      await new Promise(setImmediate)
    }
    expect(serial).toBeLessThan(20_000)
  }
  await expectAlive()
  await close()
})

test('a flood of words about brackets leaves the event loop its turns, and moves nothing', async () => {
  const { holder, words, generation, close } = await registered()
  words.set(SLOT_WORDS + Slot.count, 1)
  let moved = false
  const moving = shift(target).then(() => {
    moved = true
  })
  let turns = 0
  for (let sent = 0; sent < 20_000 && !moved; ) {
    const type = sent % 2 === 0 ? PrivateType.lowered : PrivateType.taken
    if (holder.send({ type, ...taken.name, serial: 1, generation }) > 0) sent++
    else {
      turns++
      await new Promise(setImmediate)
    }
  }
  expect(turns).toBeGreaterThan(10)
  // Left behind after the deadline, whatever it says.
  await moving
  expect(info().holders).toEqual([])
  expect(await target.withCpuAccess('read', (cpu) => cpu.bytes[0])).toBe(1)
  await close()
})

test('a count beyond the limit holds nothing off', async () => {
  const { words, close } = await registered()
  words.set(SLOT_WORDS + Slot.count, limits.maxOpenBrackets + 1)
  await shift(target)
  expect(info().holders).toHaveLength(1)
  await close()
})

test('a holder that does not say it has read its storages is waited for, and then left behind', async () => {
  const { holder, close } = await registered()
  for (let move = 1; move < limits.maxUnreadStorages; move++) await shift(target)
  expect(info().holders).toHaveLength(1)
  await shift(target)
  expect(info().holders).toEqual([])
  const said: number[] = []
  for (let message = await holder.read(); message !== 'end'; message = await holder.read()) {
    for (const fd of message.descriptors) addon().close(fd)
    said.push(message.type)
    if (message.type === PrivateType.evicted) break
  }
  expect(said.filter((type) => type === PrivateType.storage)).toHaveLength(limits.maxUnreadStorages - 1)
  await close()
})

test('words with the serial of another registration are not this one', async () => {
  const { holder, words, close } = await registered(5)
  words.set(SLOT_WORDS + Slot.count, 1)
  const moving = shift(target)
  words.set(SLOT_WORDS + Slot.count, 0)
  holder.send({ type: PrivateType.lowered, ...taken.name, serial: 4 })
  holder.send({ type: PrivateType.lowered, ...taken.name, serial: 5 })
  await moving
  expect(info().holders).toHaveLength(1)
  await close()
})

test('any messages whatever about placed buffers and devices are survived', async () => {
  const { lowered, want, taken: read, unpin, detach, cancel, pin } = PrivateType
  const plain = fc.record({
    type: fc.constantFrom(lowered, want, read, unpin, detach, cancel, pin),
    serial: fc.integer({ min: 0, max: 3 }),
    argument: fc.integer({ min: 0, max: 2 }),
    idLow: fc.integer({ min: 0, max: 40 }),
  })
  const bodied = fc.record({
    type: fc.constantFrom(PrivateType.attach, PrivateType.map, PrivateType.unmap),
    serial: fc.integer({ min: 0, max: 3 }),
    argument: fc.integer({ min: 0, max: 2 }),
    body: fc.oneof(
      fc.constant(device),
      fc.uint8Array({ maxLength: 64 }),
      fc.constant(directionBody('to-device')),
    ),
  })
  const fuzz = fc.asyncProperty(fc.array(fc.oneof(plain, bodied), { maxLength: 12 }), async (messages) => {
    const { holder, close } = await registered()
    for (const message of messages) {
      const { body, ...values } = { body: undefined, ...message }
      // A buffer that was fixed by one run would end the test for the others.
      if (values.type === pin && values.argument === 0) continue
      holder.send({ ...taken.name, ...values }, -1, body)
    }
    await close()
  })
  await fc.assert(fuzz, { numRuns: 100 })
  await until(() => info().attachedDevices.length === 0, 'nothing is attached')
  await shift(target)
  await expectAlive()
})
