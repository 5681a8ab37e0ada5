import type { Random } from '../internal/random.ts'
import { MAX_ORDER, type PageBlock } from './page-block.ts'

/** For each order the blocks that have a free chunk of just this order: the free lists of a buddy allocator. */
export class BlockLists {
  readonly #lists: readonly PageBlock[][] = Array.from({ length: MAX_ORDER + 1 }, () => [])

  /** To be called after the orders of a block have changed. */
  refile(block: PageBlock, before: number): void {
    const changed = before ^ block.orders
    for (let order = 0; order <= MAX_ORDER; order++) {
      if ((changed & (1 << order)) === 0) continue
      if (block.orders & (1 << order)) this.#add(block, order)
      else this.#remove(block, order)
    }
  }

  /** A block with a free chunk of just this order, of those with an index below `below`. */
  pick(order: number, below: number, random: Random): PageBlock | undefined {
    const list = this.#lists[order]!
    if (list.length === 0) return undefined
    const start = random(list.length)
    for (let i = 0; i < list.length; i++) {
      const block = list[(start + i) % list.length]!
      if (block.index < below) return block
    }
    return undefined
  }

  #add(block: PageBlock, order: number): void {
    const list = this.#lists[order]!
    block.slots[order] = list.length
    list.push(block)
  }

  #remove(block: PageBlock, order: number): void {
    const list = this.#lists[order]!
    const last = list.pop()!
    if (last === block) return
    const slot = block.slots[order]!
    list[slot] = last
    last.slots[order] = slot
  }
}
