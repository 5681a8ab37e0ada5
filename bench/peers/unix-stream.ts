import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { slotsFor, writeFirst } from '../lib/frames.ts'
import { Mailbox, Window } from '../lib/mailbox.ts'
import { forkConsumer, runPair } from '../lib/pair.ts'
import type { Start } from '../types.ts'
import type { Consume } from './index.ts'

/** Bytes of an answer: the word that the consumer read. */
const ANSWER = 4

export const start: Start = (options) => {
  const address = join(tmpdir(), `dmabuf-bench-${process.pid}.sock`)
  const server = createServer()
  const connection = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const listening = new Promise<void>((resolve) => server.listen(address, resolve))
  const frames = Array.from({ length: slotsFor(options.depth) }, () => new Uint8Array(options.size))
  const answers = new Mailbox<number>()

  return listening.then(() =>
    runPair(options, forkConsumer('unix-stream', options, address), async () => {
      const socket = await connection
      socket.on('data', (data) => {
        for (let at = 0; at + ANSWER <= data.length; at += ANSWER) answers.push(data.readUInt32LE(at))
      })
      return {
        trip(seq) {
          writeFirst(frames[0]!, seq)
          socket.write(frames[0]!)
          return answers.next()
        },
        async stream(count) {
          // A write is done when the kernel has taken the whole frame; until then its buffer is not ours.
          const window = new Window(options.depth)
          for (let seq = 0; seq < count; seq++) {
            await window.enter()
            const bytes = frames[seq % frames.length]!
            writeFirst(bytes, seq)
            socket.write(bytes, () => window.leave())
          }
        },
        close() {
          socket.destroy()
          server.close()
          rmSync(address, { force: true })
        },
      }
    }),
  )
}

/**
 * The best a stream can do: the kernel's copy lands where the frame is wanted. Small frames share one block,
 * so that one read can bring many of them.
 */
export const consume: Consume = ({ size }, sink, address) => {
  const block = new Uint8Array(size * Math.max(1, Math.floor((64 << 10) / size)))
  const answer = Buffer.alloc(ANSWER)
  let filled = 0
  let taken = 0
  const take = (socket: Socket) => {
    while (filled - taken >= size) {
      const word = sink.take(block.subarray(taken, taken + size))
      taken += size
      if (word !== undefined) {
        answer.writeUInt32LE(word)
        socket.write(answer)
      }
      sink.done()
    }
    if (taken === block.length) filled = taken = 0
  }
  const socket = connect({
    path: address,
    onread: {
      buffer: () => block.subarray(filled),
      callback(count) {
        filled += count
        take(socket)
        return true
      },
    },
  })
  socket.once('connect', () => sink.ready())
}
