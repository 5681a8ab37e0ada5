import { list } from '../internal/validate.ts'
import { checkFence, type Fence, signalledFence } from './fence.ts'
import { FenceArray, latestTimestamp } from './fence-array.ts'
import { FenceChain } from './fence-chain.ts'
import { isLater } from './seqno.ts'

/** Every fence inside arrays and chains, each leaf as often as it is there (`dma_fence_unwrap_for_each()`). */
export function* leavesOf(fence: Fence): IterableIterator<Fence> {
  if (fence instanceof FenceArray) yield* fence.fences
  else if (fence instanceof FenceChain) for (const member of fence.fences()) yield* leavesOf(member)
  else yield fence
}

/**
 * The leaves that are still to be waited for: pending ones, of each context only the latest, in the order of contexts.
 */
export function pendingLeaves(fences: readonly Fence[]): Fence[] {
  const byContext = new Map<number, Fence>()
  for (const fence of fences) {
    for (const leaf of leavesOf(fence)) {
      if (leaf.isSignalled) continue
      const known = byContext.get(leaf.context)
      if (known === undefined || isLater(leaf.seqno, known.seqno)) byContext.set(leaf.context, leaf)
    }
  }
  return [...byContext.values()].sort((a, b) => a.context - b.context)
}

/**
 * One fence that stands for all of these: arrays and chains are taken apart, what has signalled is left out (**its error
 * with it**), and of each context the latest stays. With nothing left: a signalled fence with the latest time; with one
 * left: that fence itself. Follows `dma_fence_unwrap_merge()`.
 */
export function mergeFences(...fences: readonly Fence[]): Fence {
  const given = list('fences', fences, checkFence)
  const pending = pendingLeaves(given)
  const [first] = pending
  if (first === undefined)
    return signalledFence(latestTimestamp(given.flatMap((fence) => [...leavesOf(fence)])))
  return pending.length === 1 ? first : new FenceArray(pending)
}
