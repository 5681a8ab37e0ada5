import { abortable } from './abort.ts'

/** Lets one asynchronous step run at a time, in the order in which they came. */
export class Turn {
  readonly #waiting: (() => void)[] = []
  #busy = false

  get busy(): boolean {
    return this.#busy
  }

  /** Runs `step` when all before it are done; the signal ends the waiting, and what `step` does of its own. */
  async take<T>(signal: AbortSignal | undefined, what: string, step: () => T | Promise<T>): Promise<T> {
    if (this.#busy) await this.#wait(signal, what)
    this.#busy = true
    try {
      return await step()
    } finally {
      this.#busy = false
      this.#next()
    }
  }

  /** Whoever is woken is busy from that moment on: nobody may slip in before it runs. */
  #next(): void {
    const next = this.#waiting.shift()
    if (next === undefined) return
    this.#busy = true
    next()
  }

  #wait(signal: AbortSignal | undefined, what: string): Promise<void> {
    return abortable<void>(signal, what, (resolve) => {
      const enter = () => resolve()
      this.#waiting.push(enter)
      return () => {
        const index = this.#waiting.indexOf(enter)
        if (index >= 0) this.#waiting.splice(index, 1)
      }
    })
  }
}
