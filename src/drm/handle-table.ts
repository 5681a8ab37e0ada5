/**
 * Small positive numbers for objects, as the kernel's idr gives them out: always the lowest that is free, never 0.
 */
export class HandleTable<T> {
  /** The object of handle n stands at n - 1. */
  readonly #slots: (T | undefined)[] = []
  /** Every slot below this one is taken. */
  #taken = 0
  #size = 0

  /** How many handles there are. */
  get size(): number {
    return this.#size
  }

  add(object: T): number {
    while (this.#slots[this.#taken] !== undefined) this.#taken++
    this.#slots[this.#taken] = object
    this.#size++
    return ++this.#taken
  }

  get(handle: number): T | undefined {
    return this.#slots[handle - 1]
  }

  /** Takes the handle away and returns what it stood for; nothing when there is no such handle. */
  remove(handle: number): T | undefined {
    const object = this.#slots[handle - 1]
    if (object === undefined) return undefined
    this.#slots[handle - 1] = undefined
    this.#taken = Math.min(this.#taken, handle - 1)
    this.#size--
    // A table that was large once does not stay so.
    while (this.#slots.length > 0 && this.#slots.at(-1) === undefined) this.#slots.pop()
    return object
  }

  /** Takes every handle away and returns what they stood for. */
  clear(): T[] {
    const objects = this.#slots.filter((object) => object !== undefined)
    this.#slots.length = 0
    this.#taken = 0
    this.#size = 0
    return objects
  }
}
