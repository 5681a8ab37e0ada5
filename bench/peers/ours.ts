import { Channel, type DmaBuf, forkWithChannel, SystemHeap } from '../../dist/index.js'
import { slotsFor, writeFirst } from '../lib/frames.ts'
import { consumerArgs, consumerModule, runPair } from '../lib/pair.ts'
import type { Start } from '../types.ts'
import type { Consume } from './index.ts'

function fill(buffer: DmaBuf, write: (bytes: Uint8Array) => void): void {
  const cpu = buffer.beginCpuAccessSync('write')
  try {
    write(cpu.bytes)
  } finally {
    cpu.end()
  }
}

function field(message: unknown, name: string): unknown {
  return typeof message === 'object' && message !== null ? Reflect.get(message, name) : undefined
}

function wordOf(message: unknown): number {
  return Number(field(message, 'word') ?? -1)
}

export const start: Start = async (options) => {
  const { size, depth } = options
  const heap = new SystemHeap()
  const pool = await heap.pool({ byteLength: size, buffers: slotsFor(depth) })
  const known = await heap.allocate(size)
  const { child, channel } = forkWithChannel(consumerModule, consumerArgs('ours', options), {
    stdio: 'inherit',
  })

  const tripKnown = async (seq: number) => {
    fill(known, (bytes) => writeFirst(bytes, seq))
    await channel.send({ back: true }, [known])
    const { message, buffers } = await channel.receive()
    for (const buffer of buffers) buffer.close()
    return wordOf(message)
  }
  const tripNew = async (seq: number) => {
    const buffer = await heap.allocate(size)
    fill(buffer, (bytes) => writeFirst(bytes, seq))
    await channel.send({ back: false }, [buffer])
    const { message } = await channel.receive()
    buffer.close()
    return wordOf(message)
  }

  return runPair(options, child, () => ({
    trip: (seq, kind) => (kind === 'new' ? tripNew(seq) : tripKnown(seq)),
    async stream(frames) {
      // No copy to make first: the frame comes into being in the shared buffer. The pool is the flow control.
      for (let seq = 0; seq < frames; seq++) {
        const buffer = await pool.acquire()
        fill(buffer, (bytes) => writeFirst(bytes, seq))
        await channel.send({ seq }, [buffer])
        buffer.close()
      }
    },
    async close() {
      known.close()
      await channel.close()
      await pool.close()
    },
  }))
}

export const consume: Consume = async (_setup, sink) => {
  const channel = Channel.parent()
  // The first buffer to be sent back and forth stays open, so that both sides know it from then on.
  let kept: DmaBuf | undefined
  sink.ready()
  for await (const { message, buffers } of channel) {
    const buffer = buffers[0]!
    const cpu = buffer.beginCpuAccessSync('read')
    let word: number | undefined
    try {
      word = sink.take(cpu.bytes)
    } finally {
      cpu.end()
    }
    const back = field(message, 'back') === true
    if (word !== undefined) await channel.send({ word }, back ? [buffer] : [])
    if (back && !kept) kept = buffer
    else buffer.close()
    sink.done()
  }
}
