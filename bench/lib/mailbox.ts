/** Hands what arrives in callbacks to code that awaits it, in order. */
export class Mailbox<T> {
  #items: T[] = []
  #waiting: { resolve(item: T): void; reject(error: Error): void }[] = []
  #error: Error | undefined

  push(item: T): void {
    const first = this.#waiting.shift()
    if (first) first.resolve(item)
    else this.#items.push(item)
  }

  fail(error: Error): void {
    this.#error ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  next(): Promise<T> {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift()!)
    if (this.#error) return Promise.reject(this.#error)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }
}

/** Lets at most `depth` things be under way; `enter` waits for room, `leave` makes it. */
export class Window {
  readonly #depth: number
  #inside = 0
  #wake: (() => void) | undefined

  constructor(depth: number) {
    this.#depth = depth
  }

  /** Undefined when there is room at once, so that a hot loop need not await. */
  enter(): Promise<void> | undefined {
    this.#inside++
    if (this.#inside <= this.#depth) return undefined
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  leave(): void {
    this.#inside--
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}
