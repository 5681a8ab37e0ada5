import { addon } from '../native/load.ts'

/** The descriptors of one received packet, taken in order; what nobody took is closed, off the main thread. */
export class IncomingDescriptors {
  /** Most packets have none, and share this. */
  static readonly #none = new IncomingDescriptors(0)
  readonly #all: number[]
  #next = 0

  private constructor(count: number) {
    this.#all = []
    if (count === 0) return
    const { incoming } = addon().scratch
    for (let index = 0; index < count; index++) this.#all.push(incoming[index] ?? -1)
  }

  /** Reads them out of the scratch, which the next packet overwrites. */
  static received(count: number): IncomingDescriptors {
    return count === 0 ? IncomingDescriptors.#none : new IncomingDescriptors(count)
  }

  get left(): number {
    return this.#all.length - this.#next
  }

  /** The next descriptor, now the caller's; -1 when there is none. */
  take(): number {
    return this.#next < this.#all.length ? (this.#all[this.#next++] ?? -1) : -1
  }

  closeRest(): void {
    if (this.left === 0) return
    const rest = this.#all.slice(this.#next)
    this.#next = this.#all.length
    addon().closeLater(rest)
  }
}
