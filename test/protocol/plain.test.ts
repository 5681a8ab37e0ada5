import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { SystemHeap } from '../../src/index.ts'
import { Seal } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { HandleFlag, writeHandle } from '../../src/share/handle.ts'
import { RawPeer } from './raw-peer.ts'

const descriptors = () => readdirSync('/proc/self/fd').length

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) addon().close(fd)
}

function bareHandle(flags: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(96)
  writeHandle(new DataView(bytes.buffer), 0, {
    flags,
    exporter: 0,
    record: 0,
    generation: 0,
    idLow: 0,
    idHigh: 0,
    byteLength,
    offset: 0,
    name: 0,
    exporterName: '',
    label: 'given',
  })
  return Buffer.concat([bytes, Buffer.from('{}')])
}

function sealedMemory(): number {
  const fd = addon().memfdCreate('raw', 0)
  addon().allocate(fd, 4096)
  addon().addSeals(fd, Seal.shrink | Seal.grow | Seal.seal)
  return fd
}

test('a plain peer that gives no credit gets more buffers than credits would allow', async () => {
  const [channel, peer] = await RawPeer.pair()
  using buffer = new SystemHeap().allocateSync(4096)
  peer.receive()
  for (let count = 0; count < 300; count++) {
    await channel.send({ count }, [buffer])
    const packet = peer.receive()
    expect(packet?.descriptors).toHaveLength(2)
    closeAll(packet?.descriptors ?? [])
  }
  await channel.close()
  peer[Symbol.dispose]()
})

test('a plain peer is told of no exporter, credit or name', async () => {
  const [channel, peer] = await RawPeer.pair()
  using buffer = new SystemHeap().allocateSync(4096)
  for (let count = 0; count < 3; count++) await channel.send({ count }, [buffer])
  const types: (number | undefined)[] = []
  for (let packet = peer.receive(); packet !== undefined; packet = peer.receive()) {
    types.push(packet.bytes[5])
    closeAll(packet.descriptors)
  }
  expect(types).toEqual([1, 2, 2, 2])
  await channel.close()
  expect(peer.receive()?.bytes[5]).toBe(3)
  peer[Symbol.dispose]()
})

test('a leash that comes with bare storage is an error, and is closed', async () => {
  const [channel, peer] = await RawPeer.pair()
  const before = descriptors()
  addon().pipe()
  const [read = -1, write = -1] = addon().scratch.descriptors
  const storage = sealedMemory()
  const flags = HandleFlag.storage | HandleFlag.leash | HandleFlag.bare
  peer.send({ type: 2, handles: 1, jsonBytes: 2 }, bareHandle(flags, 4096), [storage, write])
  closeAll([read, write, storage])
  expect(await channel.closed).toMatchObject({ reason: 'error', error: { code: 'EPROTO' } })
  await channel.close()
  peer[Symbol.dispose]()
  // The channel's own socket and the peer's are gone as well.
  await expect.poll(descriptors).toBe(before - 2)
})

test('a peer that ends after its bye has closed on purpose', async () => {
  const [channel, peer] = await RawPeer.pair()
  peer.send({ type: 3 })
  peer[Symbol.dispose]()
  expect(await channel.closed).toEqual({ reason: 'closed-by-peer' })
  await channel.close()
})

test('what a peer sent before it left with packets unread is delivered', async () => {
  const [channel, peer] = await RawPeer.pair()
  await channel.send('never read')
  for (const json of ['1', '2', '3']) peer.send({ type: 2, jsonBytes: 1 }, Buffer.from(json))
  peer[Symbol.dispose]()
  const messages: unknown[] = []
  for await (const { message } of channel) messages.push(message)
  expect(messages).toEqual([1, 2, 3])
  expect(await channel.closed).toEqual({ reason: 'peer-died' })
  await channel.close()
})

test('the credentials of a plain peer are those of its process', async () => {
  const [channel, peer] = await RawPeer.pair()
  expect(channel.peer).toEqual({ pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() })
  await channel.close()
  peer[Symbol.dispose]()
})
