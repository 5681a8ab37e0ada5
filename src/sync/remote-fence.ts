import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import { afterwards } from './afterwards.ts'
import { sendDeadline } from './deadline-message.ts'
import { completeFence, type Fence, FenceEnd, type FenceOps, makeFence, now } from './fence.ts'
import type { FenceHandle } from './fence-handle.ts'
import { hangups } from './hangup-watch.ts'
import { keepAlive } from './keep-alive.ts'
import type { RemotePage } from './remote-page.ts'
import { type FencePlace, readFence } from './timeline-words.ts'

/** Milliseconds between two looks at the page of a fence whose end was spoiled. */
const SPOILED_STEP = 20

/** A fence that came from another environment. */
export interface ReceivedFence extends FencePlace {
  readonly timelineName: string
}

const HUNG_UP = 16
const sleeping = new Int32Array(new SharedArrayBuffer(4))

/** Nobody has it any more: its end need not be watched. */
const registry = new FinalizationRegistry<RemoteFence>((remote) => remote.drop())

/**
 * A fence that another environment signals. The page tells whether it has; the hang-up of its end says when to look. The end
 * is shared by all who have the fence, and one of them may shut it down: then the page is looked at now and then.
 */
export class RemoteFence implements FenceOps {
  readonly driverName = 'dmabuf'
  readonly timelineName: string
  readonly #page: RemotePage
  readonly #place: FencePlace
  readonly #key: string
  /** -1 once nothing is watched. */
  #end: number
  #fence: WeakRef<Fence> | undefined
  /** While somebody waits for it, who may have nothing but a callback there. */
  #kept: Fence | undefined
  #timer: NodeJS.Timeout | undefined
  #spoiledAt: number | undefined

  private constructor(page: RemotePage, place: ReceivedFence, key: string, end: number) {
    this.#page = page
    this.#place = place
    this.#key = key
    this.#end = end
    this.timelineName = place.timelineName
  }

  /** Consumes `end`. The same fence comes out the same, as long as it is pending and somebody has it. */
  static receive(page: RemotePage, place: ReceivedFence, end: number): Fence {
    const { slot, contextLow, contextHigh, seqno } = place
    const key = `${slot} ${contextHigh} ${contextLow} ${seqno}`
    const known = page.pending.get(key)
    const fence = known === undefined ? undefined : known.#fence?.deref()
    if (fence !== undefined) {
      addon().close(end)
      return fence
    }
    // Collected, and the registry has not come to it yet.
    known?.drop()
    const remote = new RemoteFence(page, place, key, end)
    page.pending.set(key, remote)
    return remote.#watch(page.contextOf(slot, contextLow, contextHigh))
  }

  /** Completes the fence if the page says that it has signalled, or if there is nobody left to do that. */
  settle(): void {
    if (this.#end < 0) return
    let reached = readFence(this.#page.words, this.#place)
    if (reached === undefined && this.#page.ended) {
      // The page was written before it ended, perhaps between the two looks.
      reached = readFence(this.#page.words, this.#place) ?? { error: FenceEnd.died, timestamp: undefined }
    }
    if (reached !== undefined) this.#complete(reached.error, reached.timestamp ?? now())
  }

  /** Stops watching; the page goes with the last one. Idempotent. */
  drop(): void {
    if (this.#end < 0) return
    const end = this.#end
    this.#end = -1
    clearTimeout(this.#timer)
    hangups.disarm(end)
    if (this.#kept !== undefined) keepAlive.watched(-1)
    this.#kept = undefined
    afterwards(() => {
      hangups.cancel(end)
      addon().close(end)
      this.#page.remove(this.#key, this)
    })
  }

  // ---- as the fence's ops -----------------------------------------------------------------------------------

  enableSignaling(fence: Fence): boolean {
    this.settle()
    if (this.#end < 0) return true
    this.#kept = fence
    keepAlive.watched(1)
    return true
  }

  poll(): void {
    this.settle()
  }

  setDeadline(_: Fence, deadline: bigint): void {
    if (this.#end >= 0) sendDeadline(this.#end, deadline)
  }

  block(_: Fence, milliseconds: number): void {
    if (this.#end < 0) return
    const events = this.#spoiledAt === undefined ? addon().pollFor(this.#end, 0, milliseconds) : HUNG_UP
    if (events === 0) return
    this.#page.askProcess()
    this.settle()
    // A shut end hangs up at once and for ever, and a blocked thread has no timers.
    if (this.#end < 0 || !this.#patient()) return
    Atomics.wait(sleeping, 0, 0, Math.min(milliseconds, SPOILED_STEP))
  }

  handle(): FenceHandle | undefined {
    this.settle()
    return this.#end < 0 ? undefined : { page: this.#page.fd, end: this.#end, ...this.#place }
  }

  // -----------------------------------------------------------------------------------------------------------

  #watch(context: number): Fence {
    const fence = makeFence({ context, seqno: this.#place.seqno, ops: this })
    this.#fence = new WeakRef(fence)
    try {
      hangups.once(this.#end, 0, () => this.#hungUp())
    } catch (error) {
      this.drop()
      throw error
    }
    registry.register(fence, this)
    this.settle()
    return fence
  }

  #hungUp(): void {
    this.settle()
    if (this.#end < 0) return
    // It may be its process's end that is heard of here first.
    this.#page.askProcess()
    this.settle()
    if (this.#end >= 0) this.#spoiled()
  }

  /** The end is shut although the signaller lives, as far as one can know: nothing else will tell when to look. */
  #spoiled(): void {
    if (!this.#patient()) return
    this.#timer = setTimeout(() => this.#hungUp(), SPOILED_STEP)
    // It ends by itself after a while, and whoever waits expects to be told.
    if (this.#kept === undefined) this.#timer.unref()
  }

  /** False when it was waited for long enough: then the fence is complete. */
  #patient(): boolean {
    const time = performance.now()
    this.#spoiledAt ??= time
    if (time - this.#spoiledAt < limits.spoiledFenceTimeout) return true
    this.#complete(FenceEnd.died, now())
    return false
  }

  #complete(error: number | undefined, timestamp: bigint): void {
    const fence = this.#fence?.deref()
    this.drop()
    if (fence !== undefined) completeFence(fence, error, timestamp)
  }
}
