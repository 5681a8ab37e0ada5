import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { slotsFor, writeFirst } from '../lib/frames.ts'
import { load } from '../lib/packages.ts'
import { forkConsumer, runPair } from '../lib/pair.ts'
import type { Start } from '../types.ts'
import type { Consume } from './index.ts'

interface PairSocket {
  bind(address: string): Promise<void>
  connect(address: string): void
  send(message: Uint8Array): Promise<void>
  receive(): Promise<[Buffer]>
  close(): void
}

interface ZeroMq {
  readonly Pair: new (options: {
    sendHighWaterMark: number
    receiveHighWaterMark: number
    linger: number
  }) => PairSocket
}

function open(depth: number): PairSocket {
  const { Pair } = load<ZeroMq>('zeromq')
  return new Pair({ sendHighWaterMark: depth, receiveHighWaterMark: depth, linger: 0 })
}

export const start: Start = async (options) => {
  const path = join(tmpdir(), `dmabuf-bench-${process.pid}.zmq`)
  const socket = open(options.depth)
  await socket.bind(`ipc://${path}`)
  // A sent buffer is read later by ZeroMQ's own thread. At most `depth` wait for it and one is being written,
  // so the next one in this ring is always free; the sums would tell if it were not.
  const frames = Array.from({ length: slotsFor(options.depth) }, () => new Uint8Array(options.size))
  return runPair(options, forkConsumer('zeromq', options, `ipc://${path}`), () => ({
    async trip(seq) {
      writeFirst(frames[0]!, seq)
      await socket.send(frames[0]!)
      const [answer] = await socket.receive()
      return answer.readUInt32LE(0)
    },
    async stream(count) {
      for (let seq = 0; seq < count; seq++) {
        const bytes = frames[seq % frames.length]!
        writeFirst(bytes, seq)
        await socket.send(bytes)
      }
    },
    close() {
      socket.close()
      rmSync(path, { force: true })
    },
  }))
}

export const consume: Consume = async ({ depth }, sink, address) => {
  const socket = open(depth)
  const answer = Buffer.alloc(4)
  socket.connect(address)
  sink.ready()
  for (;;) {
    const [bytes] = await socket.receive()
    const word = sink.take(bytes)
    if (word !== undefined) {
      answer.writeUInt32LE(word)
      await socket.send(answer)
    }
    sink.done()
  }
}
