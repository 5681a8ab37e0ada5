import { limits } from '../internal/limits.ts'

/**
 * Hands out what was received, in order. A message behind the introduction of a new exporter waits until the knock at its
 * door is answered, so that its buffers can be registered; what comes later waits behind it.
 */
export class Delivery<Item> {
  readonly #take: (item: Item) => boolean
  readonly #readOn: () => void
  #last: Promise<void> | undefined
  #waiting = 0
  /** Whether the taker wants to be read ahead for. */
  #wanted = true

  /** `take` returns whether it wants more; `readOn` is called when it does again, after it did not. */
  constructor(take: (item: Item) => boolean, readOn: () => void) {
    this.#take = take
    this.#readOn = readOn
  }

  get wanted(): boolean {
    return this.#wanted
  }

  /** The taker has room again. */
  resume(): void {
    this.#wanted = true
    this.#readOn()
  }

  /** What comes from now on waits for this, too. */
  waitFor(answer: Promise<void>): void {
    this.#last = Promise.all([this.#last, answer]).then(() => {})
  }

  add(item: Item): void {
    if (this.#last === undefined) {
      this.#wanted = this.#take(item)
      return
    }
    this.#wanted = ++this.#waiting < limits.maxQueuedReceives
    const turn = this.#last.then(() => {
      this.#waiting--
      if (this.#last === turn) this.#last = undefined
      if (this.#take(item)) this.resume()
      else this.#wanted = false
    })
    this.#last = turn
  }

  /** Runs behind everything that is still to be handed out. */
  afterwards(act: () => void): void {
    if (this.#last === undefined) act()
    else void this.#last.then(act)
  }
}
