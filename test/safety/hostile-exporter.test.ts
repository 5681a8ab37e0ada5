import { openSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { beforeAll, expect, test } from 'vitest'
import { RECORD_WORDS, StateHeader, StateRecord } from '../../src/dmabuf/words.ts'
import { limits } from '../../src/internal/limits.ts'
import { Seal } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import type { Channel } from '../../src/share/channel.ts'
import { HandleFlag } from '../../src/share/handle.ts'
import { PRIVATE_BYTES, PrivateType, writePrivate } from '../../src/share/private-message.ts'
import { PacketType } from '../../src/transport/packet.ts'
import { useCensus } from '../support/census.ts'
import { closePair, expectAlive, expectDropped, warmUp } from '../support/dropped.ts'
import { FakeExporter, memfd, pipeEnd, STATE_SEALS, STORAGE_SEALS } from '../support/fake-exporter.ts'
import { message, packet, RawPeer } from '../support/raw-peer.ts'
import { until } from '../support/until.ts'

const O_PATH = 0o10000000
const both = HandleFlag.storage | HandleFlag.leash

beforeAll(warmUp)
useCensus()

/** Plays the part of an exporter on a fresh channel. */
async function play(act: (peer: RawPeer, channel: Channel) => unknown): Promise<void> {
  const [channel, peer] = RawPeer.pair()
  peer.hello()
  await act(peer, channel)
  await closePair(channel, peer)
  await expectAlive()
}

/** Such a state segment is refused. */
async function refusedState(what: RegExp, exporter: FakeExporter): Promise<void> {
  using made = exporter
  await play(async (peer, channel) => {
    made.introduce(peer)
    await expectDropped(channel, what)
  })
}

test('an exporter made by hand is believed when all of it is right', async () => {
  using exporter = new FakeExporter()
  await play(async (peer, channel) => {
    exporter.introduce(peer)
    exporter.send(peer, '{"n":1}')
    const { buffers } = await channel.receive()
    expect(buffers.map((buffer) => buffer.role)).toEqual(['holder'])
    for (const buffer of buffers) buffer.close()
  })
})

test('a state segment that is not sealed, or not against all, is refused', async () => {
  await refusedState(/not sealed/, new FakeExporter(0))
  await refusedState(/not sealed/, new FakeExporter(Seal.shrink | Seal.grow))
  await refusedState(/not sealed/, new FakeExporter(STORAGE_SEALS))
})

test('a state segment of another size is refused', async () => {
  await refusedState(/131072 bytes instead of 65536/, new FakeExporter(STATE_SEALS, 131_072))
  await refusedState(/4096 bytes instead of 65536/, new FakeExporter(STATE_SEALS, 4096))
})

test('a state segment with another header is refused', async () => {
  for (const [word, value, what] of [
    [StateHeader.magic, 0, /magic word/],
    [StateHeader.version, 2 | (64 << 16), /version 2, and this side knows 1/],
    [StateHeader.version, 1 | (32 << 16), /another geometry/],
    [StateHeader.records, 0xffff_ffff, /another geometry/],
  ] as const) {
    const exporter = new FakeExporter()
    exporter.words.set(word, value)
    await refusedState(what, exporter)
  }
})

test('something else in the place of a state segment is refused', async () => {
  for (const open of [pipeEnd, () => openSync(tmpdir(), 'r'), () => openSync('/dev/zero', 'r')]) {
    await play(async (peer, channel) => {
      const fd = open()
      addon().adopt(fd)
      peer.give(packet({ type: PacketType.exporter, descriptors: 1 }), [fd])
      await expectDropped(channel, /segment/)
    })
  }
  await play(async (peer, channel) => {
    peer.send(packet({ type: PacketType.exporter }))
    await expectDropped(channel, /without its state segment/)
  })
})

test('an exporter named twice, or beyond the limit, is refused', async () => {
  using exporter = new FakeExporter()
  await play(async (peer, channel) => {
    exporter.introduce(peer)
    exporter.introduce(peer)
    await expectDropped(channel, /named twice/)
  })
  await play(async (peer, channel) => {
    exporter.introduce(peer, undefined, limits.maxExportersPerChannel)
    await expectDropped(channel, /beyond the limit/)
  })
})

test('a door that is not the one its state segment names is refused', async () => {
  using exporter = new FakeExporter()
  exporter.words.set(StateHeader.doorInodeLow, 12_345)
  for (const open of [() => openSync('/run', O_PATH), () => openSync(tmpdir(), 'r'), pipeEnd]) {
    await play(async (peer, channel) => {
      const door = open()
      addon().adopt(door)
      exporter.introduce(peer, door)
      addon().close(door)
      await expectDropped(channel, /a door that is/)
    })
  }
})

test('a connected end that is no socket is refused', async () => {
  using exporter = new FakeExporter()
  for (const open of [
    () => openSync('/', 'r'),
    () => openSync('/dev/null', 'r'),
    () => memfd(4096, STORAGE_SEALS),
  ]) {
    await play(async (peer, channel) => {
      const door = open()
      addon().adopt(door)
      exporter.introduce(peer, door)
      addon().close(door)
      await expectDropped(channel, /door that is no socket/)
    })
  }
})

test('a handle of an exporter that was never named, or of another record, is refused', async () => {
  using exporter = new FakeExporter()
  for (const [handle, what] of [
    [{ exporter: 1 }, /never named/],
    [{ exporter: 0xffff_ffff }, /never named/],
    [{ record: 1 }, /another one or free/],
    [{ record: 1023 }, /another one or free/],
    [{ record: 0xffff_ffff }, /another one or free/],
    [{ idLow: 2 }, /another one or free/],
    [{ idLow: 0, idHigh: 0 }, /another one or free/],
    [{ record: 1, idLow: 0, idHigh: 0 }, /another one or free/],
  ] as const) {
    await play(async (peer, channel) => {
      exporter.introduce(peer)
      exporter.send(peer, '{}', handle)
      await expectDropped(channel, what)
    })
  }
})

test('the storage of another buffer is refused: a forwarder cannot pair true names with false memory', async () => {
  using exporter = new FakeExporter()
  const other = memfd(4096, STORAGE_SEALS)
  exporter.setRecord(1, 2, other)
  await play(async (peer, channel) => {
    exporter.introduce(peer)
    exporter.send(peer, '{}', { record: 1, idLow: 2 })
    await expectDropped(channel, /not the one its record names/)
  })
  addon().close(other)
})

test('a leash that is none is refused', async () => {
  using exporter = new FakeExporter()
  const ends = [
    () => openSync('/dev/null', 'w'),
    () => openSync('/', 'r'),
    () => memfd(4096, STORAGE_SEALS),
    () => addon().socket(),
  ]
  for (const open of ends) {
    await play(async (peer, channel) => {
      const leash = open()
      addon().adopt(leash)
      exporter.introduce(peer)
      peer.send(message('{}', [{ flags: both }], 2), [exporter.storage, leash])
      addon().close(leash)
      await expectDropped(channel, /a leash is not/)
    })
  }
})

test('a record that is used again while its buffer is held ends the channel, and the buffer stays', async () => {
  using exporter = new FakeExporter()
  await play(async (peer, channel) => {
    exporter.introduce(peer)
    exporter.send(peer)
    const { buffers } = await channel.receive()
    exporter.setRecord(0, 9, exporter.storage)
    exporter.send(peer, '{}', { idLow: 9 })
    await expectDropped(channel, /used again while/)
    expect(buffers[0]?.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(0)
    for (const buffer of buffers) buffer.close()
  })
})

test('storage that is replaced while the buffer is held ends the channel', async () => {
  using exporter = new FakeExporter()
  await play(async (peer, channel) => {
    exporter.introduce(peer)
    exporter.send(peer)
    const { buffers } = await channel.receive()
    const other = memfd(4096, STORAGE_SEALS)
    exporter.setRecord(0, 1, other)
    const generation = RECORD_WORDS + StateRecord.generation
    exporter.words.set(generation, 2)
    peer.give(message('{}', [{ flags: both, generation: 2 }], 2), [other, addon().duplicate(exporter.leash)])
    await expectDropped(channel, /was replaced while it is held/)
    for (const buffer of buffers) buffer.close()
  })
})

test('a state segment that changes all the time is survived', async () => {
  using exporter = new FakeExporter()
  await play(async (peer, channel) => {
    exporter.introduce(peer)
    exporter.send(peer)
    const { buffers } = await channel.receive()
    const [buffer] = buffers
    for (let round = 0; round < 500; round++) {
      for (let word = 0; word < RECORD_WORDS; word++) {
        exporter.words.set(RECORD_WORDS + word, Math.floor(Math.random() * 2 ** 32))
      }
      try {
        buffer?.withCpuAccessSync('read', (cpu) => cpu.copy())
      } catch (error) {
        // Revoked, or with fences to wait for.
        expect(['ENODEV', 'EAGAIN']).toContain((error as NodeJS.ErrnoException).code)
      }
    }
    for (const each of buffers) each.close()
  })
})

test('a buffer whose exporter knows nothing of its leash is as good as revoked', async () => {
  using exporter = new FakeExporter()
  const native = addon()
  await play(async (peer, channel) => {
    expect(native.socketPair()).toBe(0)
    const [ours = -1, theirs = -1] = native.scratch.descriptors
    exporter.introduce(peer, theirs)
    native.close(theirs)
    exporter.send(peer)
    const { buffers } = await channel.receive()
    const buffer = buffers[0]!
    const { bytes } = buffer.beginCpuAccessSync('read')
    const { scratch } = native
    writePrivate(new DataView(scratch.tx.buffer, scratch.tx.byteOffset), {
      type: PrivateType.error,
      idLow: 1,
      argument: 13,
    })
    expect(native.send(ours, PRIVATE_BYTES, 0, false)).toBe(PRIVATE_BYTES)
    await until(() => buffer.revoked, 'the refusal arrives')
    expect(bytes.length).toBe(0)
    expect(() => buffer.beginCpuAccessSync('read')).toThrow('ENODEV')
    buffer.close()
    native.close(ours)
  })
})
