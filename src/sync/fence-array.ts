import { problem } from '../internal/errors.ts'
import { list } from '../internal/validate.ts'
import { newContext } from './context.ts'
import { blockOn, checkFence, completeFence, Fence, type FenceOps, makingFence } from './fence.ts'
import { FenceChain } from './fence-chain.ts'

/**
 * Several fences as one: signals when all have, with the error of the first of them that failed. Takes no containers: merge
 * those with `mergeFences`. Follows drivers/dma-buf/dma-fence-array.c.
 */
export class FenceArray extends Fence {
  /** Its members, in the order given; frozen. */
  readonly fences: readonly Fence[]

  constructor(fences: readonly Fence[]) {
    const members = list('fences', fences, checkFence)
    if (members.length === 0) throw problem('fenceList', { what: 'no fence at all' })
    const container = members.some((member) => member instanceof FenceArray || member instanceof FenceChain)
    if (container) throw problem('fenceList', { what: 'an array or a chain of fences' })
    super({ context: newContext(), seqno: 1, ops: arrayOps(members) }, makingFence)
    this.fences = Object.freeze(members)
  }
}

/** Members are listened to from the first wait or callback on. */
function arrayOps(members: readonly Fence[]): FenceOps {
  let left = members.length
  let armed = false
  const finish = (array: Fence) => {
    completeFence(array, firstError(members), latestTimestamp(members))
  }
  return {
    driverName: 'dma_fence_array',
    timelineName: 'unbound',
    enableSignaling: (array) => {
      armed = true
      for (const member of members) {
        const added = member.addCallback(() => {
          if (--left === 0) finish(array)
        })
        if (!added) left--
      }
      if (left === 0) finish(array)
      return true
    },
    poll: (array) => {
      if (!armed && members.every((member) => member.isSignalled)) finish(array)
    },
    block: (_, milliseconds) => {
      const pending = members.find((member) => !member.isSignalled)
      if (pending !== undefined) blockOn(pending, milliseconds)
    },
    setDeadline: (_, deadline) => {
      for (const member of members) member.setDeadline(deadline)
    },
  }
}

/** Of the one that failed first, whatever its place. */
function firstError(fences: readonly Fence[]): number | undefined {
  let first: Fence | undefined
  for (const fence of fences) {
    if (fence.error === undefined) continue
    if (first === undefined || fence.timestamp < first.timestamp) first = fence
  }
  return first?.error
}

export function latestTimestamp(fences: readonly Fence[]): bigint {
  let latest = 0n
  for (const { timestamp } of fences) if (timestamp > latest) latest = timestamp
  return latest
}
