import type { Serializable } from 'node:child_process'
import { writeFirst } from '../lib/frames.ts'
import { Mailbox, Window } from '../lib/mailbox.ts'
import { forkConsumer, runPair } from '../lib/pair.ts'
import type { Start } from '../types.ts'
import type { Consume } from './index.ts'

interface Frame {
  readonly frame: Uint8Array
}

function isFrame(message: unknown): message is Frame {
  return typeof message === 'object' && message !== null && 'frame' in message
}

export const start: Start = (options) => {
  const child = forkConsumer('child-ipc', options, '', { serialization: 'advanced' })
  const answers = new Mailbox<number>()
  // One buffer is enough: `send` has serialized the message when it returns.
  const bytes = new Uint8Array(options.size)
  child.on('message', (message) => {
    if (typeof message === 'number') answers.push(message)
  })
  return runPair(options, child, () => ({
    trip(seq) {
      writeFirst(bytes, seq)
      child.send({ frame: bytes } as unknown as Serializable)
      return answers.next()
    },
    async stream(frames) {
      const window = new Window(options.depth)
      for (let seq = 0; seq < frames; seq++) {
        await window.enter()
        writeFirst(bytes, seq)
        child.send({ frame: bytes } as unknown as Serializable, () => window.leave())
      }
    },
    close() {},
  }))
}

export const consume: Consume = (_setup, sink) => {
  process.on('message', (message) => {
    if (!isFrame(message)) return
    const answer = sink.take(message.frame)
    if (answer !== undefined) process.send?.(answer)
    sink.done()
  })
  sink.ready()
}
