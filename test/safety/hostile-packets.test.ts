import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { limits } from '../../src/internal/limits.ts'
import { addon } from '../../src/native/load.ts'
import { HEADER_BYTES, MAGIC, PacketType, VERSION } from '../../src/transport/packet.ts'
import { census, expectCensus, useCensus } from '../support/census.ts'
import { closePair, expectAlive, expectDropped, warmUp } from '../support/dropped.ts'
import { memfd, pipe, pipeEnd, STORAGE_SEALS } from '../support/fake-exporter.ts'
import { message, packet, RawPeer } from '../support/raw-peer.ts'

beforeAll(warmUp)
useCensus()

/** A channel drops a peer that sends this after its hello. */
async function dropped(what: RegExp, bytes: Uint8Array, descriptors: number[] = [], code = 'EPROTO') {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  expect(peer.give(bytes, descriptors)).toBe(bytes.length)
  await expectDropped(channel, what, code)
  await closePair(channel, peer)
  await expectAlive()
}

const hello = { type: PacketType.hello }

test('a packet shorter than a header ends the channel', async () => {
  for (const length of [1, 4, HEADER_BYTES - 1])
    await dropped(/shorter than a header/, new Uint8Array(length))
})

test('a packet without the magic word ends the channel', async () => {
  await dropped(
    /instead of the magic word/,
    new TextEncoder().encode('GET / HTTP/1.1\r\nHost: example.org\r\n\r\n'),
  )
})

test('another version is named, and so is ours', async () => {
  const bytes = packet(hello)
  bytes[4] = VERSION + 6
  await dropped(/version 7, this side version 1/, bytes, [], 'EPROTONOSUPPORT')
})

test('a first packet that is no hello ends the channel', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.send(message('{}', [], 0))
  await expectDropped(channel, /no hello/)
  await closePair(channel, peer)
})

test('a second hello ends the channel', () => dropped(/second hello/, packet(hello)))

test('an empty packet is the end, and what rides on it is closed', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  peer.give(new Uint8Array(0), [memfd(4096, STORAGE_SEALS)])
  expect((await channel.closed).reason).toBe('peer-died')
  await closePair(channel, peer)
})

test('a packet larger than any may be ends the channel', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  const bytes = packet({ type: PacketType.message, jsonBytes: 2 }, new Uint8Array(limits.maxMessageBytes + 1))
  expect(peer.send(bytes)).toBe(bytes.length)
  await expectDropped(channel, /larger than any|behind the last part/)
  await closePair(channel, peer)
})

test('counts that lie end the channel', async () => {
  await dropped(/announces/, message('{}', [], 0, { handles: 1 }))
  await dropped(/buffers in one message/, message('{}', [], 0, { handles: 0xffff }))
  await dropped(/parts in one message/, message('{}', [], 0, { parts: 0xffff }))
  await dropped(/announces/, message('{}', [], 0, { jsonBytes: 0xffff_ffff }))
  await dropped(/not well-formed/, message('{}', [], 0, { jsonBytes: 1 }))
  await dropped(/not well-formed/, message('{"a":1} ', [], 0, { parts: 1, jsonBytes: 4 }))
})

test('JSON that is none ends the channel', async () => {
  for (const json of ['', '{', 'undefined', '{"a":1}}', '\u0000'])
    await dropped(/not well-formed/, message(json, [], 0))
})

test('JSON nested a hundred thousand times is a message or an error, and no crash', async () => {
  for (const flags of [0, 1]) {
    const [channel, peer] = RawPeer.pair()
    peer.hello()
    peer.send(message('['.repeat(90_000) + ']'.repeat(90_000), [], 0, { flags }))
    await Promise.race([channel.receive().catch(() => {}), channel.closed])
    await closePair(channel, peer)
  }
  await expectAlive()
})

test('a reference to a part that is not there ends the channel', async () => {
  await dropped(/not well-formed/, message('{"$bytes":0}', [], 0, { flags: 1 }))
  await dropped(/not well-formed/, message('{"$bytes":"map"}', [], 0, { flags: 1 }))
})

test('more or fewer descriptors than announced end the channel and are closed', async () => {
  const fds = (count: number) => Array.from({ length: count }, () => memfd(4096, STORAGE_SEALS))
  await dropped(/2 descriptors came where 1 were/, message('{}', [], 1), fds(2))
  await dropped(/0 descriptors came where 3 were/, message('{}', [], 3))
  await dropped(/belong to no buffer/, message('{}', [], 5), fds(5))
})

test('as many descriptors as a packet can have are taken and closed', async () => {
  const [read, write] = pipe()
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  expect(peer.send(message('{}', [], 253), new Array<number>(253).fill(write))).toBeGreaterThan(0)
  await expectDropped(channel, /belong to no buffer/)
  await closePair(channel, peer)
  for (const fd of [read, write]) addon().close(fd)
})

test('a packet of a type from a later release is passed over, its descriptors are closed', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  for (const type of [9, 100, 255]) peer.give(packet({ type, descriptors: 1 }), [memfd(4096, STORAGE_SEALS)])
  peer.send(message('{"after":1}', [], 0))
  expect((await channel.receive()).message).toEqual({ after: 1 })
  await closePair(channel, peer)
})

test('names and credits out of thin air change nothing', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  const { keep, forget, forgotten, credit } = PacketType
  for (const type of [keep, forget, forgotten, credit]) {
    for (const argument of [0, 1, 0xffff_ffff]) peer.send(packet({ type, argument }))
  }
  peer.send(message('1', [], 0))
  expect((await channel.receive()).message).toBe(1)
  await closePair(channel, peer)
  await dropped(/does not keep/, message('{}', [{ flags: 4, name: 7 }], 0))
})

test('any packet whatever is a message or the end of its channel, and leaves nothing open', async () => {
  const before = census()
  const random = fc.uint8Array({ maxLength: 400, size: 'max' })
  const shaped = fc
    .record({
      type: fc.integer({ min: 0, max: 10 }),
      flags: fc.integer({ min: 0, max: 3 }),
      handles: fc.integer({ min: 0, max: 3 }),
      parts: fc.integer({ min: 0, max: 3 }),
      jsonBytes: fc.integer({ min: 0, max: 40 }),
      argument: fc.integer({ min: 0, max: 3 }),
      descriptors: fc.integer({ min: 0, max: 4 }),
    })
    .chain((init) => random.map((tail) => packet(init, tail)))
  const fuzz = fc.asyncProperty(
    fc.oneof(random, shaped),
    fc.integer({ min: 0, max: 4 }),
    async (bytes, count) => {
      fc.pre(bytes.length > 0)
      const [channel, peer] = RawPeer.pair({ trust: 'unsealed' })
      peer.hello()
      peer.give(
        bytes,
        Array.from({ length: count }, (_, at) => (at % 2 ? pipeEnd() : memfd(4096, STORAGE_SEALS))),
      )
      peer.send(packet({ type: PacketType.bye }))
      peer.close()
      const { reason } = await channel.closed
      expect(reason).toMatch(/^(closed-by-peer|error)$/)
      await channel.close()
    },
  )
  await fc.assert(fuzz, { numRuns: 500 })
  await expectCensus(before)
  expect(MAGIC).toBe(0x42414d44)
})
