import { slotsFor, writeFirst } from '../lib/frames.ts'
import { Mailbox, Window } from '../lib/mailbox.ts'
import { load } from '../lib/packages.ts'
import { forkConsumer, runPair } from '../lib/pair.ts'
import type { Start } from '../types.ts'
import type { Consume } from './index.ts'

interface ShmTypedArray {
  create(count: number, type: 'Buffer'): (Buffer & { key: number }) | null
  get(key: number, type: 'Buffer'): Buffer | null
  destroy(key: number): boolean
}

/** Child IPC carries the number of the slot, there and back; a frame has a word besides it in an answer. */
interface Signal {
  readonly slot: number
  readonly word?: number
}

function isSignal(message: unknown): message is Signal {
  return typeof message === 'object' && message !== null && 'slot' in message
}

function slot(segment: Buffer, size: number, index: number): Uint8Array {
  return segment.subarray(index * size, (index + 1) * size)
}

export const start: Start = (options) => {
  const { size, depth } = options
  const shm = load<ShmTypedArray>('shm-typed-array')
  const slots = slotsFor(depth)
  const segment = shm.create(size * slots, 'Buffer')
  if (!segment) throw new Error('shm-typed-array made no segment')
  const child = forkConsumer('shm-typed-array', options, String(segment.key))
  const answers = new Mailbox<number>()
  let window = new Window(slots)
  child.on('message', (message) => {
    if (!isSignal(message)) return
    window.leave()
    if (message.word !== undefined) answers.push(message.word)
  })
  // The frame is in memory of the producer's own, as it comes from a decoder or a socket; a segment slot is
  // where it must go before anyone else sees it.
  const own = new Uint8Array(size)
  const targets = Array.from({ length: slots }, (_, i) => slot(segment, size, i))

  return runPair(options, child, () => ({
    trip(seq) {
      window.enter()
      writeFirst(own, seq)
      targets[0]!.set(own)
      child.send({ slot: 0 } satisfies Signal)
      return answers.next()
    },
    async stream(frames) {
      window = new Window(slots)
      for (let seq = 0; seq < frames; seq++) {
        writeFirst(own, seq)
        await window.enter()
        targets[seq % slots]!.set(own)
        child.send({ slot: seq % slots } satisfies Signal)
      }
    },
    close() {
      shm.destroy(segment.key)
    },
  }))
}

export const consume: Consume = ({ size }, sink, key) => {
  const segment = load<ShmTypedArray>('shm-typed-array').get(Number(key), 'Buffer')
  if (!segment) throw new Error(`no segment ${key}`)
  process.on('message', (message) => {
    if (!isSignal(message)) return
    const word = sink.take(slot(segment, size, message.slot))
    process.send?.(word === undefined ? message : { slot: message.slot, word })
    sink.done()
  })
  sink.ready()
}
