import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Seal } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { HandleFlag } from '../../src/share/handle.ts'
import { useCensus } from '../support/census.ts'
import { closePair, expectAlive, expectDropped, warmUp } from '../support/dropped.ts'
import { memfd, pipe, pipeEnd, STORAGE_SEALS } from '../support/fake-exporter.ts'
import { message, RawPeer } from '../support/raw-peer.ts'

const O_PATH = 0o10000000
const bare = HandleFlag.storage | HandleFlag.bare
const directory = mkdtempSync(join(tmpdir(), 'dmabuf-test-'))
const file = join(directory, 'file')

beforeAll(async () => {
  writeFileSync(file, new Uint8Array(8192))
  await warmUp()
})
afterAll(() => rmSync(directory, { recursive: true }))
useCensus()

/** A descriptor sent as the storage of a buffer is refused for this reason. */
async function refused(
  what: RegExp,
  fd: number,
  handle: Parameters<typeof message>[1][number] = {},
): Promise<void> {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  peer.give(message('{}', [{ flags: bare, ...handle }], 1), [fd])
  await expectDropped(channel, what)
  await closePair(channel, peer)
  await expectAlive()
}

/** Takes over a descriptor that Node has opened. */
function adopted(fd: number): number {
  addon().adopt(fd)
  return fd
}

test('a pipe is no storage', async () => {
  const [read, write] = pipe()
  await refused(/cannot be mapped: it is pipe:/, read)
  await refused(/cannot be mapped/, write)
})

test('a directory is no storage', () => refused(/cannot be mapped/, adopted(openSync(directory, 'r'))))

test('a socket is no storage', async () => {
  addon().socketPair()
  const [a = -1, b = -1] = addon().scratch.descriptors
  await refused(/cannot be mapped: it is socket:/, a)
  addon().close(b)
})

test('a path that is not opened is no storage', () =>
  refused(/cannot be mapped/, adopted(openSync(file, O_PATH))))

test('devices are no storage', async () => {
  for (const device of ['/dev/zero', '/dev/null', '/dev/urandom']) {
    await refused(/cannot be mapped/, adopted(openSync(device, 'r+')))
  }
})

test('a file on a disk is no storage', () =>
  refused(/cannot be mapped|may still shrink/, adopted(openSync(file, 'r+'))))

test('a file of /proc is no storage', () =>
  refused(/cannot be mapped/, adopted(openSync('/proc/self/maps', 'r'))))

test('an epoll set is no storage', () => refused(/cannot be mapped/, addon().epollCreate()))

test('an unsealed memfd is refused, and one that anybody may still shrink', async () => {
  await refused(/may still shrink/, memfd(4096, 0))
  await refused(/may still shrink/, memfd(4096, Seal.grow | Seal.seal))
  await refused(/may still shrink/, memfd(4096, Seal.shrink))
})

test('sizes that lie are refused before anything is mapped', async () => {
  for (const [byteLength, offset] of [
    [4097, 0],
    [4096, 1],
    [1, 4096],
    [8192, 0],
    [2 ** 40, 0],
    [4096, 2 ** 52],
    [Number.MAX_SAFE_INTEGER, 0],
  ] as const) {
    await refused(/storage of 4096 bytes for a buffer of/, memfd(4096, STORAGE_SEALS), { byteLength, offset })
  }
})

test('sizes that are no numbers of bytes are refused', async () => {
  await refused(/buffer of no bytes/, memfd(4096, STORAGE_SEALS), { byteLength: 0 })
  // 2^53, 2^64 - 1 and their like: written as the two words that they are.
  for (const [size, offset] of [
    [2n ** 53n, 0n],
    [2n ** 64n - 1n, 0n],
    [1n, 2n ** 64n - 1n],
    [2n ** 63n, 2n ** 63n],
  ] as const) {
    const [channel, peer] = RawPeer.pair()
    peer.hello()
    const bytes = message('{}', [{ flags: bare }], 1)
    const view = new DataView(bytes.buffer)
    view.setBigUint64(32 + 24, size, true)
    view.setBigUint64(32 + 32, offset, true)
    peer.give(bytes, [memfd(4096, STORAGE_SEALS)])
    await expectDropped(channel, /more than 2\^53/)
    await closePair(channel, peer)
  }
})

test('a handle without its storage, and one with a leash alone, is refused', async () => {
  await refused(/without storage/, pipeEnd(), { flags: HandleFlag.leash })
  await refused(/without storage/, pipeEnd(), { flags: HandleFlag.leash | HandleFlag.bare })
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  peer.send(message('{}', [{ flags: bare }], 0))
  await expectDropped(channel, /without storage/)
  await closePair(channel, peer)
})

test('one bad handle of many takes the good ones of its message with it', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  const handles = [{ flags: bare }, { flags: bare }, { flags: bare }]
  const fds = [memfd(4096, STORAGE_SEALS), memfd(4096, STORAGE_SEALS), memfd(4096, 0)]
  peer.give(message('{}', handles, 3), fds)
  await expectDropped(channel, /may still shrink/)
  await closePair(channel, peer)
})

test('sealed memory of a stranger arrives as a buffer of its own', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello(0)
  peer.give(message('{"n":1}', [{ flags: bare, offset: 100, byteLength: 200, label: 'frame' }], 1), [
    memfd(4096, STORAGE_SEALS),
  ])
  const { message: text, buffers } = await channel.receive()
  expect(text).toEqual({ n: 1 })
  const [buffer] = buffers
  expect([buffer?.name, buffer?.byteLength, buffer?.offset, buffer?.role]).toEqual([
    'frame',
    200,
    100,
    'exporter',
  ])
  buffer?.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(7))
  buffer?.close()
  await closePair(channel, peer)
})

test('unsealed memory that is truncated later is an error at the next access, where it was asked for', async () => {
  const [channel, peer] = RawPeer.pair({ trust: 'unsealed' })
  peer.hello()
  const fd = memfd(8192, 0)
  peer.send(message('{}', [{ flags: bare, byteLength: 8192 }], 1), [fd])
  const { buffers } = await channel.receive()
  const [buffer] = buffers
  if (buffer === undefined) throw new Error('no buffer')
  const cpu = buffer.beginCpuAccessSync('read')
  expect(cpu.bytes[8191]).toBe(0)
  ftruncateSync(fd, 0)
  // The handler has put a page of zeros there: no signal, no crash.
  expect(cpu.bytes[8191]).toBe(0)
  expect(() => cpu.copy()).toThrow(expect.objectContaining({ code: 'ENODEV' }))
  cpu.end()
  expect(() => buffer.beginCpuAccessSync('read')).toThrow(expect.objectContaining({ code: 'ENODEV' }))
  buffer.close()
  addon().close(fd)
  await closePair(channel, peer)
  await expectAlive()
})

test('the same memory twice in one message is two buffers', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  const fd = memfd(4096, STORAGE_SEALS)
  peer.give(message('{}', [{ flags: bare }, { flags: bare }], 2), [fd, addon().duplicate(fd)])
  const { buffers } = await channel.receive()
  const [a, b] = buffers
  a?.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(9))
  expect(b?.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(9)
  for (const buffer of buffers) buffer.close()
  await closePair(channel, peer)
})

test('what a stranger names its buffer is text, whatever its bytes', async () => {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  const bytes = message('{}', [{ flags: bare }], 1)
  bytes.fill(0xff, 32 + 48, 32 + 96)
  peer.give(bytes, [memfd(4096, STORAGE_SEALS)])
  const { buffers } = await channel.receive()
  expect(buffers[0]?.name).toMatch(/^\uFFFD+$/)
  for (const buffer of buffers) buffer.close()
  await closePair(channel, peer)
  closeSync(openSync(file, 'r'))
})
