/**
 * The page tables of an IOMMU, counted. A table fills one page with entries of 8 bytes; the tables of the lowest level hold
 * the pages, each level above holds tables. The root is there from the beginning and does not count.
 */
export class PageTables {
  readonly limit: number
  readonly #fanOut: number
  readonly #levels: number
  /**
   * How many ranges share a table, for the first and last table of each range. Tables in between belong to that range alone.
   */
  readonly #shared: Map<number, number>[]
  #used = 0

  /** `pages` is how many pages the root can reach at least. */
  constructor(pageSize: number, pages: number, limit: number) {
    this.limit = limit
    this.#fanOut = pageSize / 8
    this.#levels = Math.max(0, Math.ceil(Math.log2(pages) / Math.log2(this.#fanOut)) - 1)
    this.#shared = Array.from({ length: this.#levels }, () => new Map<number, number>())
  }

  get used(): number {
    return this.#used
  }

  /** Tables that would have to be made for pages `first` to `last`. */
  missing(first: number, last: number): number {
    return this.#edges(first, last).reduce((sum, edges) => sum + edges.own, 0)
  }

  /** Makes the tables for a range of pages that no other range overlaps. */
  enter(first: number, last: number): void {
    this.#used += this.missing(first, last)
    for (const { tables, indexes } of this.#edges(first, last)) {
      for (const index of indexes) tables.set(index, (tables.get(index) ?? 0) + 1)
    }
  }

  /** Gives back the tables that only this range needed. */
  leave(first: number, last: number): void {
    for (const { tables, indexes } of this.#edges(first, last)) {
      for (const index of indexes) {
        const others = tables.get(index)! - 1
        if (others === 0) tables.delete(index)
        else tables.set(index, others)
      }
    }
    this.#used -= this.missing(first, last)
  }

  #edges(first: number, last: number): { tables: Map<number, number>; indexes: number[]; own: number }[] {
    return this.#shared.map((tables, level) => {
      const span = this.#fanOut ** (level + 1)
      const low = Math.floor(first / span)
      const high = Math.floor(last / span)
      const indexes = low === high ? [low] : [low, high]
      return { tables, indexes, own: high - low + 1 - indexes.filter((index) => tables.has(index)).length }
    })
  }
}
