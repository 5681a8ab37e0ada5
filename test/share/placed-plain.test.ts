import { beforeAll, expect, test } from 'vitest'
import { coreOf } from '../../src/dmabuf/dmabuf.ts'
import { Channel, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { MapKind } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { HandleFlag } from '../../src/share/handle.ts'
import { PacketType } from '../../src/transport/packet.ts'
import { shift } from '../children/shift.ts'
import { useCensus } from '../support/census.ts'
import { contents } from '../support/descriptor.ts'
import { closePair, warmUp } from '../support/dropped.ts'
import { codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { RawPeer } from '../support/raw-peer.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
const SIZE = 4096
const PLAIN = 0

beforeAll(warmUp)
useCensus()

const textOf = (bytes: Uint8Array, handles: number) =>
  Buffer.from(bytes.subarray(32 + 96 * handles)).toString()

/** The next message of a plain peer: its text, and the first byte of its buffer, if it has one. */
async function read(peer: RawPeer): Promise<[text: string, first?: number]> {
  const { header, bytes, descriptors } = await peer.read(PacketType.message)
  const text = textOf(bytes, header.handles)
  const [storage, leash] = descriptors
  if (header.handles === 0 || storage === undefined || leash === undefined) return [text]
  const flags = new DataView(bytes.buffer, 32).getUint32(0, true)
  expect(flags & ~(HandleFlag.storage | HandleFlag.leash)).toBe(0)
  const mapping = addon().map(storage, 0, SIZE, MapKind.shared)
  if (typeof mapping === 'number') throw new Error(`map: ${mapping}`)
  const [first = -1] = contents(mapping)
  mapping.close()
  for (const fd of descriptors) addon().close(fd)
  return [text, first]
}

test('a plain peer gets a buffer that is fixed from then on, and messages keep their order', async () => {
  const [channel, peer] = RawPeer.pair()
  using buffer = await heap.allocate(SIZE, { movable: true })
  await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(8))
  await shift(buffer)
  const sent = [channel.send(1), channel.send(2, [buffer]), channel.send(3)]
  await until(() => sent.length === 3, 'they wait for the hello')
  peer.hello(PLAIN)
  await Promise.all(sent)
  expect(await read(peer)).toEqual(['1'])
  expect(await read(peer)).toEqual(['2', 8])
  expect(await read(peer)).toEqual(['3'])
  expect([coreOf(buffer).entry, buffer.fd > 2]).toEqual([undefined, true])
  await closePair(channel, peer)
})

test('a holder has the buffer fixed by its exporter before it passes it on to a plain peer', async () => {
  await using exporter = ProcessPuppet.start()
  const [channel, peer] = RawPeer.pair()
  peer.hello(PLAIN)
  await channel.ready
  const buffer = (await exporter.ask('place', { bytes: SIZE })).buffers[0] as DmaBuf
  await exporter.ask('store', { at: 0, value: 9 })
  await exporter.ask('shift')
  const sent = [channel.send('with', [buffer]), channel.send('behind')]
  await Promise.all(sent)
  expect(await read(peer)).toEqual(['"with"', 9])
  expect(await read(peer)).toEqual(['"behind"'])
  expect((await exporter.ask('shift')).message['code']).toBeDefined()
  // To a full peer it goes like any fixed buffer.
  const [a, end] = Channel.pair()
  const b = end.open()
  await a.send('again', [buffer])
  const received = (await b.receive()).buffers[0] as DmaBuf
  expect(received.same(buffer)).toBe(true)
  for (const each of [received, buffer]) each.close()
  await Promise.all([a.close(), b.close(), closePair(channel, peer)])
})

test('a buffer that cannot be fixed any more is refused, and the channel goes on', async () => {
  const exporter = ProcessPuppet.start()
  const [channel, peer] = RawPeer.pair()
  peer.hello(PLAIN)
  await channel.ready
  const buffer = (await exporter.ask('place', { bytes: SIZE })).buffers[0] as DmaBuf
  exporter.child.kill('SIGSTOP')
  const refused = codeOf(() => channel.send('with', [buffer]))
  const withdrawn = new AbortController()
  const aborted = codeOf(() => channel.send('never', [buffer], { signal: withdrawn.signal }))
  const behind = channel.send('behind')
  withdrawn.abort()
  expect(await aborted).toBe('ABORT_ERR')
  await exporter.kill()
  expect(await refused).toBe('ENODEV')
  await behind
  expect(await read(peer)).toEqual(['"behind"'])
  buffer.close()
  await closePair(channel, peer)
  await exporter.channel.close()
})
