import type { Touch } from '../types.ts'
import { cpuSeconds } from './cpu.ts'
import { readAll, readFirst, readPages } from './frames.ts'
import type { Order, Report } from './pair.ts'

function isOrder(message: unknown): message is Order {
  return typeof message === 'object' && message !== null && 'order' in message
}

function report(message: Report): void {
  process.send?.(message)
}

/** The consumer's work on a frame, the same for every peer. */
export class Sink {
  #touch: Touch = 'page'
  #sum = 0
  #left = 0
  #cpu = 0

  constructor() {
    process.on('message', (message) => {
      if (isOrder(message)) this.#begin(message)
    })
  }

  /** To be called once frames can come. */
  ready(): void {
    report({ report: 'ready' })
  }

  /** Looks at a frame; the word to answer with when the producer waits for an answer. */
  take(bytes: Uint8Array): number | undefined {
    if (this.#left === 0) return readFirst(bytes)
    this.#sum = (this.#sum + (this.#touch === 'page' ? readPages(bytes) : readAll(bytes))) | 0
    return undefined
  }

  /** To be called after `take`, when the frame has been given back: the last one's return is part of the work. */
  done(): void {
    if (this.#left === 0 || --this.#left > 0) return
    report({ report: 'sum', sum: this.#sum, cpuSeconds: cpuSeconds() - this.#cpu })
  }

  #begin(order: Order): void {
    this.#sum = 0
    this.#left = order.order === 'sum' ? order.frames : 0
    this.#touch = order.order === 'sum' ? order.touch : 'page'
    this.#cpu = cpuSeconds()
    this.ready()
  }
}
