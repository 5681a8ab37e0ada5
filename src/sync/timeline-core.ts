import { systemError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { runStranger } from '../internal/stranger.ts'
import { addon } from '../native/load.ts'
import { newContext } from './context.ts'
import { receiveDeadline } from './deadline-message.ts'
import { completeFence, type Fence, type FenceOps, makeFence, now } from './fence.ts'
import type { FenceHandle } from './fence-handle.ts'
import { hangups } from './hangup-watch.ts'
import { isLater, seqnoAfter } from './seqno.ts'
import { contextWords, type OwnSlot, timelinePages } from './timeline-page.ts'
import { writeClosed, writeError, writeReached } from './timeline-words.ts'

/** What the owner of a timeline wants to be told. */
export interface TimelineHooks {
  readonly enableSignaling?: ((fence: Fence) => boolean) | undefined
  readonly onDeadline?: ((fence: Fence, deadline: bigint) => void) | undefined
}

const POLLIN = 1

/** The ends of a fence that has left this environment: closing ours tells all who have the other. */
interface Ends {
  readonly mine: number
  readonly theirs: number
}

/** A timeline without its owner: its fences have it, and must not keep the owner from being collected. */
export class TimelineCore implements FenceOps {
  readonly driverName = 'dmabuf'
  readonly timelineName: string
  readonly context = newContext()
  readonly #hooks: TimelineHooks
  /** In the order of their numbers. */
  #pending: Fence[] = []
  #seqno = 0
  /** The last number that a fence was made for. */
  #last = 0
  #reachedAt = 0n
  #closed = false
  #slot: OwnSlot | undefined
  readonly #ends = new Map<Fence, Ends>()
  /** Fences whose turn to signal comes when callbacks of those before them have run. */
  readonly #next = new Map<Fence, (fence: Fence) => void>()

  constructor(name: string, hooks: TimelineHooks) {
    this.timelineName = name
    this.#hooks = hooks
  }

  get seqno(): number {
    return this.#seqno
  }

  get pending(): number {
    return this.#pending.length
  }

  get closed(): boolean {
    return this.#closed
  }

  createFence(wanted: number | undefined): Fence {
    const seqno = wanted ?? seqnoAfter(this.#last)
    if (isLater(seqno, this.#last)) this.#last = seqno
    if (!isLater(seqno, this.#seqno)) {
      const fence = makeFence({ context: this.context, seqno, ops: this })
      completeFence(fence, undefined, this.#reachedAt === 0n ? now() : this.#reachedAt)
      return fence
    }
    let at = this.#pending.length
    while (at > 0 && isLater((this.#pending[at - 1] as Fence).seqno, seqno)) at--
    const known = this.#pending[at - 1]
    if (known?.seqno === seqno) return known
    const fence = makeFence({ context: this.context, seqno, ops: this })
    this.#pending.splice(at, 0, fence)
    return fence
  }

  /** The pending fence with this number. */
  find(seqno: number): Fence | undefined {
    return this.#pending.find((fence) => fence.seqno === seqno)
  }

  signal(seqno: number, error: number | undefined): boolean {
    if (!isLater(seqno, this.#seqno)) return false
    let count = 0
    while (count < this.#pending.length && !isLater((this.#pending[count] as Fence).seqno, seqno)) count++
    const done = this.#pending.splice(0, count)
    const timestamp = now()
    this.#seqno = seqno
    this.#reachedAt = timestamp
    // A number that no fence was made for yet is passed too.
    if (isLater(seqno, this.#last)) this.#last = seqno
    const last = done.at(-1)
    if (this.#slot !== undefined) {
      const { page, slot } = this.#slot
      if (error !== undefined && last !== undefined) writeError(page.words, slot, last.seqno, error)
      writeReached(page.words, slot, seqno, timestamp)
    }
    this.#complete(done, (fence) => (fence === last ? error : undefined), timestamp)
    return true
  }

  /** Completes what is pending with this error. Idempotent. */
  close(error: number): void {
    if (this.#closed) return
    this.#closed = true
    const done = this.#pending
    this.#pending = []
    if (this.#slot !== undefined) {
      writeClosed(this.#slot.page.words, this.#slot.slot, error)
      timelinePages.give(this.#slot)
    }
    this.#complete(done, () => error, now())
  }

  // ---- as the fences' ops -----------------------------------------------------------------------------------

  enableSignaling(fence: Fence): boolean {
    if (this.#hooks.enableSignaling?.(fence) === false) this.signal(fence.seqno, undefined)
    return true
  }

  /** Its number is reached already: nobody who asks is told otherwise, though its turn has not come. */
  poll(fence: Fence): void {
    this.#next.get(fence)?.(fence)
  }

  setDeadline(fence: Fence, deadline: bigint): void {
    this.#hooks.onDeadline?.(fence, deadline)
  }

  handle(fence: Fence): FenceHandle | undefined {
    if (fence.isSignalled) return undefined
    let ends = this.#ends.get(fence)
    if (ends === undefined) {
      // Others wait for it from now on, of whom nothing is heard here.
      if (!fence.addCallback(() => {})) return undefined
      this.#slot ??= timelinePages.take(this)
      ends = pair()
      this.#ends.set(fence, ends)
      if (this.#hooks.onDeadline !== undefined) listen(fence, ends.mine, limits.maxRemoteDeadlines)
    }
    const { page, slot } = this.#slot as OwnSlot
    const { contextLow, contextHigh } = contextWords(this.context)
    return { page: page.fd, end: ends.theirs, slot, contextLow, contextHigh, seqno: fence.seqno }
  }

  /** The page says so already: others are told first, because callbacks and closing the rest take their time. */
  #complete(done: readonly Fence[], errorOf: (fence: Fence) => number | undefined, timestamp: bigint): void {
    const left: number[] = []
    if (this.#ends.size > 0) for (const fence of done) this.#hangUp(fence, left)
    const signal = (fence: Fence) => {
      this.#next.delete(fence)
      completeFence(fence, errorOf(fence), timestamp)
    }
    if (done.length > 1) for (const fence of done) this.#next.set(fence, signal)
    for (const fence of done) signal(fence)
    for (const end of left) addon().close(end)
  }

  #hangUp(fence: Fence, left: number[]): void {
    const ends = this.#ends.get(fence)
    if (ends === undefined) return
    this.#ends.delete(fence)
    hangups.cancel(ends.mine)
    addon().close(ends.mine)
    left.push(ends.theirs)
  }
}

function pair(): Ends {
  const native = addon()
  const result = native.socketPair()
  if (result < 0) throw systemError(result, 'socketpair', 'giving a fence to another process')
  const [mine = -1, theirs = -1] = native.scratch.descriptors
  return { mine, theirs }
}

/** Whoever has the fence may say by when it is needed, so often as counts; a hint that is not heard costs time alone. */
function listen(fence: Fence, mine: number, times: number): void {
  if (times === 0) return
  try {
    hangups.once(mine, POLLIN, () => {
      const deadline = receiveDeadline(mine)
      listen(fence, mine, times - 1)
      if (deadline !== undefined) runStranger(() => fence.setDeadline(deadline))
    })
  } catch {
    // No room for one more to watch.
  }
}
