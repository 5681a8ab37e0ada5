import { hangups } from './hangup-watch.ts'

/** A process does not end while somebody in it waits for a fence that another one signals. */
class KeepAlive {
  #waits = 0
  #watched = 0

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

  #update(): void {
    hangups.hold(this.#waits > 0 && this.#watched > 0)
  }
}

export const keepAlive = new KeepAlive()
