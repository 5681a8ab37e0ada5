import { roundDown } from './address.ts'

/** [start, end) of addresses. */
interface FreeRange {
  start: number
  end: number
}

/** The free addresses of an IOMMU, given out from the top down as drivers/iommu/iova.c does. */
export class IovaSpace {
  /** In order of address; no two touch each other. */
  readonly #free: FreeRange[]
  #freeBytes: number

  constructor(start: number, end: number) {
    this.#free = [{ start, end }]
    this.#freeBytes = end - start
  }

  get freeBytes(): number {
    return this.#freeBytes
  }

  /** The highest place for `bytes` below `limit` at a multiple of `alignment`, or `undefined`. */
  allocate(bytes: number, alignment: number, limit: number): number | undefined {
    for (let i = this.#free.length - 1; i >= 0; i--) {
      const { start, end } = this.#free[i]!
      const address = roundDown(Math.min(end, limit) - bytes, alignment)
      if (address < start) continue
      this.#take(i, address, address + bytes)
      return address
    }
    return undefined
  }

  release(address: number, bytes: number): void {
    const end = address + bytes
    const at = lastAtOrBelow(this.#free, address, ({ start }) => start) + 1
    const before = this.#free[at - 1]
    const after = this.#free[at]
    const joinsBefore = before?.end === address
    const joinsAfter = after?.start === end
    if (joinsBefore && joinsAfter) {
      before.end = after.end
      this.#free.splice(at, 1)
    } else if (joinsBefore) before.end = end
    else if (joinsAfter) after.start = address
    else this.#free.splice(at, 0, { start: address, end })
    this.#freeBytes += bytes
  }

  /** Bytes of the longest free range, as far as it lies below `limit`. */
  longestBelow(limit: number): number {
    return this.#free.reduce((most, { start, end }) => Math.max(most, Math.min(end, limit) - start), 0)
  }

  #take(index: number, start: number, end: number): void {
    const range = this.#free[index]!
    const rest = [
      { start: range.start, end: start },
      { start: end, end: range.end },
    ]
    this.#free.splice(index, 1, ...rest.filter((part) => part.end > part.start))
    this.#freeBytes -= end - start
  }
}

/** Index of the last element whose key is not above `value`, in a list in order of keys; -1 when there is none. */
export function lastAtOrBelow<T>(list: readonly T[], value: number, key: (element: T) => number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (key(list[middle]!) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}
