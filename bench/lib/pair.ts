import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Peer, Setup, StartOptions, StreamFigures, Touch, TripKind } from '../types.ts'
import { cpuSeconds } from './cpu.ts'
import { expectedSum } from './frames.ts'
import { Mailbox } from './mailbox.ts'

/** What the producing process asks of the consuming one, besides frames. */
export type Order =
  | { readonly order: 'answer' }
  | { readonly order: 'sum'; readonly frames: number; readonly touch: Touch }

export type Report =
  | { readonly report: 'ready' }
  | { readonly report: 'sum'; readonly sum: number; readonly cpuSeconds: number }

/** How one peer moves frames; everything else about a pair of Node.js processes is the same for all. */
export interface Transport {
  /** Hands one frame with `seq` in its first word over and resolves with the word that the consumer read. */
  trip(seq: number, kind: TripKind): Promise<number>
  /** Sends `frames` frames, as fast as the peer's own flow control lets it. */
  stream(frames: number): Promise<void>
  close(): Promise<void> | void
}

export const consumerModule = fileURLToPath(new URL('../consumer.ts', import.meta.url))

export function consumerArgs(name: string, { size, depth, cores }: Setup, address = ''): string[] {
  return [name, JSON.stringify({ size, depth, cores } satisfies Setup), address]
}

export function forkConsumer(name: string, setup: Setup, address?: string, options?: ForkOptions) {
  return fork(consumerModule, consumerArgs(name, setup, address), { stdio: 'inherit', ...options })
}

function isReport(message: unknown): message is Report {
  return typeof message === 'object' && message !== null && 'report' in message
}

/** Turns a transport and its forked consumer into a peer that measures. */
export async function runPair(
  { onPids }: StartOptions,
  child: ChildProcess,
  connect: () => Promise<Transport> | Transport,
): Promise<Peer> {
  const reports = new Mailbox<Report>()
  child.on('message', (message) => {
    if (isReport(message)) reports.push(message)
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.once('exit', (code, signal) => reports.fail(new Error(`the consumer ended: ${signal ?? code}`)))
  const order = async (what: Order) => {
    child.send(what)
    await reports.next()
  }
  // Together, because some consumers are ready only once the producer has let them in.
  const [transport] = await Promise.all([connect(), reports.next()])
  onPids([process.pid, child.pid!])

  const trip = async (seq: number, kind: TripKind) => {
    const answer = await transport.trip(seq, kind)
    if (answer !== seq) throw new Error(`sent ${seq}, and the consumer read ${answer}`)
  }

  return {
    async roundTrip(kind: TripKind, count: number) {
      await order({ order: 'answer' })
      const micros: number[] = []
      for (let seq = 1; seq <= count; seq++) {
        const from = performance.now()
        await trip(seq, kind)
        micros.push((performance.now() - from) * 1000)
      }
      return micros
    },
    async stream(frames: number, touch: Touch): Promise<StreamFigures> {
      await order({ order: 'sum', frames, touch })
      const cpu = cpuSeconds()
      const from = performance.now()
      await transport.stream(frames)
      const done = await reports.next()
      const seconds = (performance.now() - from) / 1000
      if (done.report !== 'sum' || done.sum !== expectedSum(frames)) {
        throw new Error(`a wrong sum: frames were lost or overwritten before they were read`)
      }
      return { seconds, cpuSeconds: cpuSeconds() - cpu + done.cpuSeconds }
    },
    async stop() {
      await transport.close()
      child.kill()
      await ended
    },
  }
}
