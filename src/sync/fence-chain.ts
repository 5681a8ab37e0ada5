import { problem } from '../internal/errors.ts'
import { integer } from '../internal/validate.ts'
import { newContext } from './context.ts'
import { blockOn, checkFence, completeFence, Fence, type FenceOps, makingFence, now } from './fence.ts'

/**
 * One link of the chain behind a timeline of points: a fence, and all that came before it (`struct dma_fence_chain`). It
 * signals, without an error, when its own fence and those of all links before it have. Points are counted without wrapping
 * around. Follows drivers/dma-buf/dma-fence-chain.c.
 */
export class FenceChain extends Fence {
  /** The fence of this link alone. */
  readonly fence: Fence
  /** The point of this link. */
  readonly point: number
  /** The point of the link before, also when that one is forgotten; 0 at the beginning. */
  readonly previousPoint: number
  #previous: Fence | undefined

  /** `previous` is a link, any other fence, or `undefined` at the beginning; `fence` is no link. */
  constructor(previous: Fence | undefined, fence: Fence, point: number) {
    if (previous !== undefined) checkFence('previous', previous)
    if (checkFence('fence', fence) instanceof FenceChain) {
      throw problem('fenceList', { what: 'a link where the fence of a link belongs' })
    }
    integer('point', point, 0)
    const link = previous instanceof FenceChain ? previous : undefined
    // A point that is not later than the one before cannot stand in the same order.
    const follows = link !== undefined && point > link.point
    const context = follows ? link.context : newContext()
    const last = Math.max(point, link?.point ?? 0)
    super({ context, seqno: last >>> 0, ops: chainOps }, makingFence)
    this.fence = fence
    this.point = last
    this.previousPoint = follows ? link.point : 0
    this.#previous = previous
  }

  /** What came before. Links that have signalled are left out, and forgotten. */
  get previous(): Fence | undefined {
    for (;;) {
      const previous = this.#previous
      if (previous instanceof FenceChain) {
        if (!previous.fence.isSignalled) return previous
        this.#previous = previous.#previous
      } else {
        if (previous?.isSignalled) this.#previous = undefined
        return this.#previous
      }
    }
  }

  /** The fences of this link and those before it, latest first. */
  *fences(): IterableIterator<Fence> {
    let link: Fence | undefined = this
    for (; link instanceof FenceChain; link = link.previous) yield link.fence
    if (link !== undefined) yield link
  }

  /**
   * The first link at or behind a point: what has to signal for the point to be reached. `undefined` when that has happened
   * and the link is forgotten; point 0 is this link itself. `EINVAL` for a point beyond the end.
   */
  findPoint(point: number): Fence | undefined {
    integer('point', point, 0)
    if (point === 0) return this
    if (point > this.point) throw problem('fencePoint', { point, last: this.point })
    let link: Fence | undefined = this
    while (link instanceof FenceChain && link.context === this.context && link.previousPoint >= point) {
      link = link.previous
    }
    return link
  }
}

function firstPending(chain: FenceChain): Fence | undefined {
  for (const fence of chain.fences()) if (!fence.isSignalled) return fence
  return undefined
}

/** Listens to one fence at a time, so that links which have signalled can be forgotten meanwhile. */
function listen(chain: FenceChain): boolean {
  for (;;) {
    const pending = firstPending(chain)
    if (pending === undefined) return false
    const next = () => {
      if (!listen(chain)) completeFence(chain, undefined, now())
    }
    if (pending.addCallback(next)) return true
  }
}

/** Only chains have these. */
const chainOps: FenceOps = {
  driverName: 'dma_fence_chain',
  timelineName: 'unbound',
  enableSignaling: (fence) => !(fence instanceof FenceChain) || listen(fence),
  poll: (fence) => {
    if (fence instanceof FenceChain && firstPending(fence) === undefined)
      completeFence(fence, undefined, now())
  },
  block: (fence, milliseconds) => {
    const pending = fence instanceof FenceChain ? firstPending(fence) : undefined
    if (pending !== undefined) blockOn(pending, milliseconds)
  },
  setDeadline: (fence, deadline) => {
    if (fence instanceof FenceChain) for (const member of fence.fences()) member.setDeadline(deadline)
  },
}
