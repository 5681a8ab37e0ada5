import { afterwards } from './afterwards.ts'
import { hangups } from './hangup-watch.ts'

/** A process does not end while somebody in it waits for a fence that another one signals. */
class KeepAlive {
  #waits = 0
  #watched = 0
  #releasing = false

  /** One more waits for a fence, or one less. */
  waits(change: 1 | -1): void {
    this.#waits += change
    this.#update()
  }

  /** One fence more, or one less, of another environment is waited for. */
  watched(change: 1 | -1): void {
    this.#watched += change
    this.#update()
  }

  /** Who has waited for one fence often waits for the next: they are let go when it is known that nobody does. */
  #update(): void {
    if (this.#needed) hangups.hold(true)
    else if (!this.#releasing) {
      this.#releasing = true
      afterwards(this.#release)
    }
  }

  get #needed(): boolean {
    return this.#waits > 0 && this.#watched > 0
  }

  readonly #release = () => {
    this.#releasing = false
    hangups.hold(this.#needed)
  }
}

export const keepAlive = new KeepAlive()
