import { setMaxListeners } from 'node:events'
import { beforeAll, expect, test } from 'vitest'
import { Channel, type JsonLike, limits, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { PacketType } from '../../src/transport/packet.ts'
import { useCensus } from '../support/census.ts'
import { closePair, warmUp } from '../support/dropped.ts'
import { codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { RawPeer } from '../support/raw-peer.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()

beforeAll(warmUp)
useCensus()

function pair(): [Channel, Channel] {
  const [a, end] = Channel.pair()
  return [a, end.open()]
}

/** Sends without awaiting until `n` messages wait in this process. */
async function fill(channel: Channel, values: number): Promise<Promise<void>[]> {
  await channel.ready
  return Array.from({ length: values }, (_, n) => channel.send(n))
}

test('ten thousand messages arrive in order', async () => {
  await using puppet = ProcessPuppet.start()
  await puppet.tell('flood', { count: 1000 })
  const [a, b] = pair()
  const sending = (async () => {
    for (let n = 0; n < 10_000; n++) await a.send({ n, pad: 'x'.repeat(n % 300) })
    await a.close()
  })()
  let next = 0
  for await (const { message } of b) expect((message as { n: number }).n).toBe(next++)
  expect(next).toBe(10_000)
  await sending
  await b.close()
  for (let n = 0; n < 1000; n++) expect((await puppet.channel.receive()).message).toEqual({ n })
})

test('messages with bytes of every size arrive as they were', async () => {
  const [a, b] = pair()
  for (const size of [0, 1, 1000, 65_536, 196_000]) {
    const bytes = new Uint8Array(size).map((_, at) => at * 7)
    await a.send({ deep: [{ bytes }], size })
    const { message } = (await b.receive()) as unknown as { message: { deep: [{ bytes: Uint8Array }] } }
    expect(Buffer.compare(message.deep[0].bytes, bytes)).toBe(0)
  }
  await Promise.all([a.close(), b.close()])
})

test('bytes of a message that is received are private: the sender may change its own at once', async () => {
  const [a, b] = pair()
  const bytes = new Uint8Array([1, 2, 3])
  const sent = a.send(bytes)
  bytes.fill(9)
  await sent
  expect((await b.receive()).message).toEqual(new Uint8Array([1, 2, 3]))
  await Promise.all([a.close(), b.close()])
})

test('a message beyond the limit is EMSGSIZE, with its size', async () => {
  const [a, b] = pair()
  const largest = limits.maxMessageBytes - 32 - 2
  await a.send('x'.repeat(largest))
  expect((await b.receive()).message).toHaveLength(largest)
  expect(await codeOf(() => a.send('x'.repeat(largest + 1)))).toBe('EMSGSIZE')
  expect(await codeOf(() => a.send('ü'.repeat(largest / 2 + 1)))).toBe('EMSGSIZE')
  expect(await codeOf(() => a.send(new Uint8Array(limits.maxMessageBytes)))).toBe('EMSGSIZE')
  const parts = Array.from({ length: limits.maxPartsPerMessage + 1 }, () => new Uint8Array(1))
  expect(await codeOf(() => a.send(parts))).toBe('EINVAL')
  await a.send('still here')
  expect((await b.receive()).message).toBe('still here')
  await Promise.all([a.close(), b.close()])
})

test('a peer that does not read makes send wait, and the order stays', async () => {
  const [a, peer] = RawPeer.pair()
  peer.hello()
  const sends = await fill(a, 500)
  let done = 0
  for (const send of sends) void send.then(() => done++)
  await until(() => done > 0, 'some have left')
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  expect(done).toBeLessThan(500)
  for (let n = 0; n < 500; n++) {
    const { bytes } = await peer.read(PacketType.message)
    expect(Number(Buffer.from(bytes.subarray(32)).toString())).toBe(n)
  }
  await Promise.all(sends)
  await closePair(a, peer)
})

test('a signal takes a waiting message out, and the others stay in order', async () => {
  const [a, peer] = RawPeer.pair()
  peer.hello()
  for (const send of await fill(a, 450)) send.catch(() => {})
  const controller = new AbortController()
  const [before, aborted, after] = ['before', 'aborted', 'after'].map((text, at) =>
    a.send(text, [], at === 1 ? { signal: controller.signal } : {}),
  )
  controller.abort(new Error('enough'))
  await expect(aborted).rejects.toMatchObject({
    name: 'AbortError',
    code: 'ABORT_ERR',
    cause: { message: 'enough' },
  })
  const texts: string[] = []
  while (texts.at(-1) !== '"after"') {
    texts.push(Buffer.from((await peer.read(PacketType.message)).bytes.subarray(32)).toString())
  }
  expect(texts.slice(-2)).toEqual(['"before"', '"after"'])
  await Promise.all([before, after])
  await closePair(a, peer)
})

test('an aborted signal sends nothing', async () => {
  const [a, b] = pair()
  expect(await codeOf(() => a.send(1, [], { signal: AbortSignal.abort() }))).toBe('ABORT_ERR')
  expect(await codeOf(() => b.receive({ signal: AbortSignal.abort() }))).toBe('ABORT_ERR')
  const controller = new AbortController()
  const receiving = codeOf(() => b.receive({ signal: controller.signal }))
  controller.abort()
  expect(await receiving).toBe('ABORT_ERR')
  await a.send(2)
  expect((await b.receive({ signal: new AbortController().signal })).message).toBe(2)
  await Promise.all([a.close(), b.close()])
})

test('more waiting messages than the limit are ENOBUFS, and the waiting ones are not lost', async () => {
  const [a, peer] = RawPeer.pair()
  peer.hello()
  await a.ready
  const outcomes = Array.from({ length: limits.maxQueuedSends + 600 }, (_, n) =>
    a.send(n).then(
      () => 'sent',
      (error: { code: string }) => error.code,
    ),
  )
  let settled = false
  void Promise.all(outcomes).then(() => {
    settled = true
  })
  let read = 0
  let last = -1
  for (;;) {
    const found = peer.readNow()
    if (found === undefined && settled) break
    if (found === undefined || found === 'end' || found.header.type !== PacketType.message) {
      await new Promise(setImmediate)
      continue
    }
    const n = Number(Buffer.from(found.bytes.subarray(32)).toString())
    expect(n).toBeGreaterThan(last)
    last = n
    read++
  }
  const results = await Promise.all(outcomes)
  expect(new Set(results)).toEqual(new Set(['sent', 'ENOBUFS']))
  expect(read).toBe(results.filter((result) => result === 'sent').length)
  expect(read).toBeGreaterThanOrEqual(limits.maxQueuedSends)
  await closePair(a, peer)
})

test('a sender stalls when its peer has not read its descriptors, goes on when it has, and messages pass in order', async () => {
  const [a, b] = pair()
  const buffer = heap.allocateSync(4096)
  await Promise.all([a.ready, b.ready])
  const order: JsonLike[] = []
  const sends = Array.from({ length: 300 }, (_, n) => a.send(n, n % 3 === 0 ? [] : [buffer]))
  for (let n = 0; n < 300; n++) {
    const { message, buffers } = await b.receive()
    order.push(message)
    for (const each of buffers) each.close()
  }
  await Promise.all(sends)
  expect(order).toEqual(Array.from({ length: 300 }, (_, n) => n))
  buffer.close()
  await Promise.all([a.close(), b.close()])
})

test('no more descriptors are under way than the limit, whatever is sent', async () => {
  const [a, peer] = RawPeer.pair()
  peer.hello()
  await a.ready
  const buffer = heap.allocateSync(4096)
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  const sends = Array.from({ length: 200 }, (_, n) =>
    a.send(n, [buffer], { signal: controller.signal }).then(
      () => true,
      () => false,
    ),
  )
  let received = 0
  for (let found = peer.readNow(); found !== undefined; found = peer.readNow()) {
    if (found === 'end') throw new Error('closed')
    received += found.descriptors.length
    for (const fd of found.descriptors) addon().close(fd)
    await new Promise(setImmediate)
  }
  expect(received).toBeLessThanOrEqual(limits.maxDescriptorsInFlight)
  expect(received).toBeGreaterThan(limits.maxDescriptorsInFlight - 8)
  controller.abort()
  expect((await Promise.all(sends)).filter(Boolean).length).toBeLessThan(100)
  buffer.close()
  await closePair(a, peer)
})

test('a plain peer gets as many buffers as it reads, without giving credit', async () => {
  const [a, peer] = RawPeer.pair()
  peer.hello(0)
  const buffer = heap.allocateSync(4096)
  const sends = Array.from({ length: 300 }, (_, n) => a.send(n, [buffer]))
  for (let n = 0; n < 300; n++) {
    const { bytes, descriptors } = await peer.read(PacketType.message)
    expect(Number(Buffer.from(bytes.subarray(128)).toString())).toBe(n)
    expect(descriptors).toHaveLength(2)
    for (const fd of descriptors) addon().close(fd)
  }
  await Promise.all(sends)
  buffer.close()
  await closePair(a, peer)
})

test('wrong arguments of send are refused, and the channel goes on', async () => {
  const [a, b] = pair()
  const buffer = heap.allocateSync(4096)
  const closed = heap.allocateSync(4096)
  closed.close()
  const many = new Array<typeof buffer>(limits.maxBuffersPerMessage + 1).fill(buffer)
  const wrong: [unknown, string][] = [
    [[1, [closed]], 'EBADF'],
    [[1, many], 'EINVAL'],
    [[1, buffer], 'EINVAL'],
    [[1, [{}]], 'EINVAL'],
    [[1, [null]], 'EINVAL'],
    [[10n], 'EINVAL'],
    [[() => {}], 'EINVAL'],
    [[1, [], { signal: 7 }], 'EINVAL'],
    [[1, [], { signale: undefined }], 'EINVAL'],
    [[1, [], 7], 'EINVAL'],
  ]
  for (const [args, code] of wrong) {
    expect(await codeOf(() => Reflect.apply(a.send, a, args as unknown[])), String(args)).toBe(code)
  }
  await a.send('fine', many.slice(1))
  const { buffers } = await b.receive()
  expect(buffers).toHaveLength(limits.maxBuffersPerMessage)
  for (const each of buffers) each.close()
  buffer.close()
  await Promise.all([a.close(), b.close()])
})
