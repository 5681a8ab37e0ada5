import { addon } from '../native/load.ts'

/** The descriptors of one received packet, taken in order; what nobody took is closed, off the main thread. */
export class IncomingDescriptors {
  readonly #all: number[]
  #next = 0

  /** Reads them out of the scratch, which the next packet overwrites. */
  constructor(count: number) {
    const { incoming } = addon().scratch
    this.#all = []
    for (let index = 0; index < count; index++) this.#all.push(incoming[index] ?? -1)
  }

  get left(): number {
    return this.#all.length - this.#next
  }

  /** The next descriptor, now the caller's; -1 when there is none. */
  take(): number {
    return this.#all[this.#next++] ?? -1
  }

  closeRest(): void {
    const rest = this.#all.slice(this.#next)
    this.#next = this.#all.length
    if (rest.length > 0) addon().closeLater(rest)
  }
}
