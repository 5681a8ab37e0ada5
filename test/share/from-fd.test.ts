import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { beforeAll, expect, test } from 'vitest'
import { Channel, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { descriptors, useCensus } from '../support/census.ts'
import { warmUp } from '../support/dropped.ts'
import { codeNow } from '../support/fails.ts'
import { pipe } from '../support/fake-exporter.ts'

beforeAll(warmUp)
useCensus()

test('a channel is made of a socket that came by its number', async () => {
  const [a, end] = Channel.pair()
  const b = Channel.fromFd(end.detach())
  await a.send({ n: 1 })
  expect((await b.receive()).message).toEqual({ n: 1 })
  await Promise.all([a.close(), b.close()])
})

test('what is no socket is refused, and stays open', () => {
  const [read, write] = pipe()
  for (const fd of [openSync('/dev/null', 'r'), openSync(tmpdir(), 'r')]) {
    expect(codeNow(() => Channel.fromFd(fd))).toBe('ENOTSOCK')
    closeSync(fd)
  }
  for (const fd of [read, write]) {
    expect(codeNow(() => Channel.fromFd(fd))).toBe('ENOTSOCK')
    expect(addon().close(fd)).toBe(0)
  }
})

test('numbers that are no descriptors are refused', () => {
  expect(codeNow(() => Channel.fromFd(900_000))).toBe('EBADF')
  for (const fd of [-1, 1.5, Number.NaN, 2 ** 31, '3', null, undefined]) {
    expect(codeNow(() => Channel.fromFd(fd as number))).toBe('EINVAL')
  }
})

test('an end that was given away is refused', async () => {
  const [channel, end] = Channel.pair()
  const number = end.detach()
  expect(codeNow(() => end.fd)).toBe('EPIPE')
  expect(codeNow(() => end.open())).toBe('EPIPE')
  end.close()
  addon().close(number)
  await channel.close()
})

test('a program that is started inherits none of our descriptors', async () => {
  const before = new Set(descriptors().map(({ link }) => link))
  const [a, end] = Channel.pair()
  const b = end.open()
  using buffer = new SystemHeap().allocateSync(4096)
  await a.send({}, [buffer])
  const { buffers } = await b.receive()
  const ours = descriptors().flatMap(({ link }) => (before.has(link) ? [] : [link]))
  const child = spawn('ls', ['-l', '/proc/self/fd'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let listed = ''
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) listed += chunk.toString()
  expect(listed).toContain(' 0 -> ')
  expect(ours.length).toBeGreaterThan(3)
  for (const link of [...ours, 'memfd', '/door']) expect(listed).not.toContain(link)
  for (const each of buffers) each.close()
  await Promise.all([a.close(), b.close()])
})
