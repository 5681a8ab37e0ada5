import { once } from 'node:events'
import { beforeAll, expect, test } from 'vitest'
import { Channel, forkWithChannel } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { warmUp } from '../support/dropped.ts'
import { codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

beforeAll(warmUp)
useCensus()

function pair(): [Channel, Channel] {
  const [a, end] = Channel.pair()
  return [a, end.open()]
}

test('who closes sees closed, and the peer closed-by-peer', async () => {
  const [a, b] = pair()
  await a.close()
  expect(await a.closed).toEqual({ reason: 'closed' })
  expect(await b.closed).toEqual({ reason: 'closed-by-peer' })
  await b.close()
  expect((await b.closed).reason).toBe('closed-by-peer')
})

test('close is idempotent, from all sides at once', async () => {
  const [a, b] = pair()
  await Promise.all([a.close(), b.close(), a.close(), b.close()])
  await a.close()
  a[Symbol.dispose]()
})

test('after the end receive and send reject with EPIPE, and iteration just ends', async () => {
  const [a, b] = pair()
  await a.close()
  await b.closed
  expect(await codeOf(() => b.receive())).toBe('EPIPE')
  expect(await codeOf(() => a.receive())).toBe('EPIPE')
  expect(await codeOf(() => a.send({}))).toBe('EPIPE')
  expect(await codeOf(() => b.send({}))).toBe('EPIPE')
  for await (const received of b) expect.unreachable(String(received))
  await b.close()
})

test('whoever waits in receive when the channel ends is told', async () => {
  const [a, b] = pair()
  const waiting = [codeOf(() => a.receive()), codeOf(() => b.receive())]
  await a.close()
  expect(await Promise.all(waiting)).toEqual(['EPIPE', 'EPIPE'])
  await b.close()
})

test('what was received before the end is given out after it', async () => {
  const [a, b] = pair()
  for (let n = 0; n < 10; n++) await a.send(n)
  await a.close()
  await b.closed
  const received: unknown[] = []
  for await (const { message } of b) received.push(message)
  expect(received).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  await b.close()
})

test('a killed peer has died, and its iteration ends', async () => {
  const puppet = ProcessPuppet.start()
  await puppet.ask('hold')
  const rest = (async () => {
    for await (const received of puppet.channel) expect.unreachable(String(received))
  })()
  await puppet.kill()
  await rest
  expect(await puppet.channel.closed).toEqual({ reason: 'peer-died' })
  await puppet.channel.close()
})

test('a peer that exits without closing has died too', async () => {
  await using puppet = ProcessPuppet.start()
  puppet.channel.unref().ref()
  await puppet.ask('hold')
  puppet.child.kill('SIGTERM')
  expect((await puppet.channel.closed).reason).toBe('peer-died')
})

test('what a peer had sent before it died is delivered, however slow the reader', async () => {
  const puppet = ProcessPuppet.start()
  await puppet.ask('hold')
  await puppet.tell('flood', { count: 150, leave: true })
  await puppet.gone
  const received: unknown[] = []
  for await (const { message } of puppet.channel) {
    received.push((message as { n: number }).n)
    await new Promise(setImmediate)
  }
  expect(received).toEqual(Array.from({ length: 150 }, (_, n) => n))
  expect((await puppet.channel.closed).reason).toBe('peer-died')
  await puppet.channel.close()
})

test('what a peer had sent is delivered although it died with messages of ours unread', async () => {
  const puppet = ProcessPuppet.start()
  await puppet.ask('hold')
  await puppet.tell('flood', { count: 20, leave: true })
  // It may be gone before all of them have left.
  for (let n = 0; n < 50; n++) await puppet.channel.send({ unread: n }).catch(() => {})
  await puppet.gone
  const received: unknown[] = []
  for await (const { message } of puppet.channel) received.push(message)
  expect(received).toHaveLength(20)
  await puppet.channel.close()
})

test('a peer that is dead is dead although a fork of it still has its socket', async () => {
  const puppet = ProcessPuppet.start()
  const { message } = await puppet.ask('spawn')
  await puppet.kill()
  expect((await puppet.channel.closed).reason).toBe('peer-died')
  process.kill(Number(message['pid']), 'SIGKILL')
  await puppet.channel.close()
})

test('a child that cannot be started is a peer that died', async () => {
  const { child, channel } = forkWithChannel('/nowhere/nothing.mjs', [], { stdio: 'ignore' })
  await once(child, 'exit')
  expect((await channel.closed).reason).toBe('peer-died')
  await channel.close()
})

test('a peer that is stopped is not dead: it answers when it goes on', async () => {
  await using puppet = ProcessPuppet.start()
  await puppet.ask('hold')
  puppet.child.kill('SIGSTOP')
  const answer = puppet.ask('hold')
  let ended = false
  void puppet.channel.closed.then(() => {
    ended = true
  })
  for (let turn = 0; turn < 1000; turn++) await new Promise(setImmediate)
  expect(ended).toBe(false)
  puppet.child.kill('SIGCONT')
  expect((await answer).message['held']).toBe(0)
})

test('close flushes what waits', async () => {
  const [a, b] = pair()
  const sends = Array.from({ length: 600 }, (_, n) => a.send(n))
  const closing = a.close()
  const received: unknown[] = []
  for await (const { message } of b) received.push(message)
  await Promise.all([...sends, closing])
  expect(received).toEqual(Array.from({ length: 600 }, (_, n) => n))
  expect((await b.closed).reason).toBe('closed-by-peer')
  await b.close()
})

test('close with a signal does not wait for a peer that does not read', async () => {
  const [a, b] = pair()
  const sends = Array.from({ length: 600 }, (_, n) => codeOf(() => a.send(n)).catch(() => 'sent'))
  const controller = new AbortController()
  const closing = a.close({ signal: controller.signal })
  await until(() => true, 'a turn has passed')
  controller.abort()
  await closing
  expect((await a.closed).reason).toBe('closed')
  expect(await Promise.all(sends)).toContain('EPIPE')
  await b.close()
})
