import { beforeAll, expect, test } from 'vitest'
import { Channel, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { HandleFlag } from '../../src/share/handle.ts'
import { PacketType } from '../../src/transport/packet.ts'
import { useCensus } from '../support/census.ts'
import { closePair, expectDropped, warmUp } from '../support/dropped.ts'
import { pipeEnd } from '../support/fake-exporter.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { message, RawPeer } from '../support/raw-peer.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()

beforeAll(warmUp)
useCensus()

test('a pool never has more free buffers than it has buffers, whoever hands them back and when', async () => {
  await using pool = await heap.pool({ byteLength: 4096, buffers: 1 })
  const [a, end] = Channel.pair()
  const b = end.open()
  for (let round = 0; round < 50; round++) {
    const buffer = await pool.acquire()
    await a.send(round, [buffer])
    buffer.close()
    const { buffers } = await b.receive()
    for (const each of buffers) each.close()
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
    expect(pool.available).toBeLessThanOrEqual(1)
  }
  await Promise.all([a.close(), b.close()])
})

test('a thousand frames of a pool go through a process and come back with what was written', async () => {
  await using puppet = ProcessPuppet.start()
  await using pool = await heap.pool({ byteLength: 8192, buffers: 3, name: 'frames' })
  await puppet.ask('hold')
  const answers = (async () => {
    for (let frame = 0; frame < 1000; frame++) {
      const { message: text, buffers } = await puppet.channel.receive()
      const [buffer] = buffers
      if (buffer === undefined) throw new Error('no buffer')
      const copy = buffer.withCpuAccessSync('read', (cpu) => cpu.copy().bytes)
      expect((text as { n: number }).n).toBe(frame)
      expect(copy.every((byte) => byte === (frame & 0xff))).toBe(true)
      buffer.close()
    }
  })()
  for (let frame = 0; frame < 1000; frame++) {
    using buffer = await pool.acquire()
    buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(frame & 0xff))
    await puppet.tell('echo', { n: frame }, [buffer])
  }
  await answers
  await until(() => pool.available === 3, 'all buffers are back')
})

test('a buffer that a dead holder has seen gets fresh memory before it is used again', async () => {
  await using pool = await heap.pool({ byteLength: 4096, buffers: 1 })
  const puppet = ProcessPuppet.start()
  const buffer = await pool.acquire()
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(5))
  const before = inode(buffer.fd)
  await puppet.ask('hold', {}, [buffer])
  buffer.close()
  expect(pool.available).toBe(0)
  await puppet.kill()
  await puppet.channel.closed
  using again = await pool.acquire()
  expect(inode(again.fd)).not.toBe(before)
  expect(again.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(0)
  await puppet.channel.close()
})

test('a buffer that only the living have seen keeps its memory', async () => {
  await using pool = await heap.pool({ byteLength: 4096, buffers: 1 })
  await using puppet = ProcessPuppet.start()
  const inodes = new Set<number>()
  for (let round = 0; round < 10; round++) {
    using buffer = await pool.acquire()
    inodes.add(inode(buffer.fd))
    await puppet.ask('length', {}, [buffer])
  }
  expect(inodes.size).toBe(1)
})

test('a forged reference to an idle buffer of ours is refused: the leash is the proof', async () => {
  await using pool = await heap.pool({ byteLength: 4096, buffers: 1 })
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  await channel.ready
  using buffer = await pool.acquire()
  await channel.send({}, [buffer])
  const { descriptors: exporter } = await peer.read(PacketType.exporter)
  const sent = await peer.read(PacketType.message)
  const handle = sent.bytes.slice(32, 128)
  const [storage = -1, leash = -1] = sent.descriptors
  // The same state segment named in the other direction: its records are ours.
  peer.give(introduction(exporter.length), exporter)
  const forged = message('{}', [{ flags: HandleFlag.storage | HandleFlag.leash }], 2)
  forged.set(handle, 32)
  new DataView(forged.buffer).setUint32(32 + 4, 0, true)
  peer.send(forged, [storage, leash])
  const { buffers } = await channel.receive()
  expect(buffers[0]?.same(buffer)).toBe(true)
  buffers[0]?.close()
  addon().close(leash)
  peer.give(forged, [storage, pipeEnd()])
  await expectDropped(channel, /leash of another buffer/)
  await closePair(channel, peer)
})

function introduction(descriptors: number): Uint8Array {
  const bytes = message('', [], descriptors, { type: PacketType.exporter, jsonBytes: 0, flags: 1 })
  return bytes
}

function inode(fd: number): number {
  addon().inspect(fd, true)
  return addon().scratch.facts[8] ?? 0
}
