import { problem } from '../internal/errors.ts'
import { oneOf } from '../internal/validate.ts'
import { checkFence, type Fence, type FenceWaitOptions } from './fence.ts'
import { FenceArray } from './fence-array.ts'
import { FenceChain } from './fence-chain.ts'
import { mergeFences } from './merge.ts'
import { isLater } from './seqno.ts'

/**
 * What a fence on a buffer is about, strongest first (`enum dma_resv_usage`): moving the memory itself, writing it, reading
 * it, or nothing that anybody has to wait for by itself.
 */
export type FenceUsage = 'kernel' | 'write' | 'read' | 'bookkeep'

const usages: readonly FenceUsage[] = ['kernel', 'write', 'read', 'bookkeep']
const rankOf = (usage: FenceUsage) => usages.indexOf(usage)

/** What a new reader, or a new writer, waits for (`dma_resv_usage_rw()`): it looks the wrong way round on purpose. */
export function usageToWaitFor(access: 'read' | 'write' | 'read-write'): FenceUsage {
  return access === 'read' ? 'write' : 'read'
}

/** A pending fence of a buffer, and what it is about. */
export interface ReservationEntry {
  readonly fence: Fence
  readonly usage: FenceUsage
}

/**
 * The fences of one buffer, each with its usage, held by the buffer's exporter: `buffer.reservation`. A query for a usage
 * finds it and all that are stronger. There are no slots to reserve and no lock to take, because nothing here is ever in
 * the middle of something. Follows drivers/dma-buf/dma-resv.c.
 */
export class Reservation {
  #entries: ReservationEntry[] = []
  readonly #changed: (() => void) | undefined

  /** @internal `changed` is called when a fence is added, or has signalled. */
  constructor(changed?: () => void) {
    this.#changed = changed
  }

  /**
   * Adds a fence; takes the place of an earlier one of its context whose usage is the same or weaker, so that adding a fence
   * anew may promote it (`'read'` to `'write'`) but never demotes it. Signalled ones go. `EINVAL` for arrays and chains.
   */
  add(fence: Fence, usage: FenceUsage): void {
    this.#check(fence, usage)
    this.#prune()
    if (fence.isSignalled) return
    const rank = rankOf(usage)
    const entry = { fence, usage }
    const replaced = this.#entries.findIndex(
      (old) =>
        old.fence.context === fence.context &&
        rankOf(old.usage) >= rank &&
        (old.fence === fence || isLater(fence.seqno, old.fence.seqno)),
    )
    const known = this.#entries.some((old) => old.fence === fence)
    if (replaced >= 0) this.#entries[replaced] = entry
    else if (!this.#entries.some((old) => old.fence === fence && rankOf(old.usage) <= rank))
      this.#entries.push(entry)
    if (!known) this.#watch(fence)
    this.#changed?.()
  }

  /** Swaps all fences of a context for another fence, which may be of another context. */
  replace(context: number, fence: Fence, usage: FenceUsage): void {
    this.#check(fence, usage)
    const others = this.#entries.filter((entry) => entry.fence.context !== context)
    const swapped = this.#entries.length - others.length
    if (swapped === 0) return
    this.#entries = others
    if (!fence.isSignalled) {
      this.#entries.push({ fence, usage })
      this.#watch(fence)
    }
    this.#changed?.()
  }

  /** Pending fences of this usage and the stronger ones. */
  fences(usage: FenceUsage): Fence[] {
    return this.entries(usage).map(({ fence }) => fence)
  }

  /** As {@link fences}, with their usages. */
  entries(usage: FenceUsage): ReservationEntry[] {
    oneOf('usage', usage, usages)
    this.#prune()
    return this.#entries.filter((entry) => rankOf(entry.usage) <= rankOf(usage))
  }

  /** What {@link fences} finds as one fence: `undefined` for none, a single one itself, else an array. */
  singleton(usage: FenceUsage): Fence | undefined {
    const fences = this.fences(usage)
    return fences.length === 0 ? undefined : mergeFences(...fences)
  }

  /** Whether nothing of this usage or a stronger one is pending. */
  isSignalled(usage: FenceUsage): boolean {
    return this.entries(usage).length === 0
  }

  /** Waits for those that are there now; see {@link Fence.wait}. An error of one does not fail the wait. */
  async wait(usage: FenceUsage, waitOpts?: FenceWaitOptions): Promise<boolean> {
    const fence = this.singleton(usage)
    return fence === undefined || fence.wait(waitOpts)
  }

  #check(fence: Fence, usage: FenceUsage): void {
    checkFence('fence', fence)
    oneOf('usage', usage, usages)
    if (fence instanceof FenceArray || fence instanceof FenceChain) {
      throw problem('fenceList', { what: 'an array or a chain, where single fences are kept' })
    }
  }

  #prune(): void {
    if (this.#entries.some(({ fence }) => fence.isSignalled)) {
      this.#entries = this.#entries.filter(({ fence }) => !fence.isSignalled)
    }
  }

  #watch(fence: Fence): void {
    const done = () => {
      this.#prune()
      this.#changed?.()
    }
    if (!fence.addCallback(done)) done()
  }
}
