import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { callable, integer, options, text } from '../internal/validate.ts'
import { checkFenceError, type Fence, FenceEnd, isFence } from './fence.ts'
import { TimelineCore } from './timeline-core.ts'

/** What the maker of a timeline wants to be told of its fences. */
export interface TimelineOptions {
  /** Called once for each fence, when somebody first waits for it; `false`: it is done already. */
  readonly enableSignaling?: (fence: Fence) => boolean
  /** Called when somebody in this environment says by when a fence is needed, in nanoseconds of CLOCK_MONOTONIC. */
  readonly onDeadline?: (fence: Fence, deadline: bigint) => void
}

/** How what was to be done has ended. */
export interface SignalFenceOptions {
  /** Negative errno, -4095 to -1: what was to be done failed. */
  readonly error?: number
}

const timelineOptions = ['enableSignaling', 'onDeadline'] as const
const signalOptions = ['error'] as const

export const MAX_SEQNO = 2 ** 32 - 1

/** A forgotten timeline would leave those who wait for its fences waiting for ever. */
const registry = new FinalizationRegistry<TimelineCore>((core) => core.close(FenceEnd.forgotten))

/**
 * What does things one after the other, and signals a fence for each: a context of fences that signal in order. Whoever makes
 * it signals its fences, in this environment only, and closes it. Fences of a timeline that was closed complete with
 * `ENOENT`, of one that was forgotten with `EDEADLK`, of one whose process or worker died with `EOWNERDEAD`. Follows
 * drivers/dma-buf/sw_sync.c.
 */
export class Timeline implements Disposable {
  readonly #core: TimelineCore

  /** `name` has at most 31 bytes. */
  constructor(name = '', timelineOpts?: TimelineOptions) {
    const opts = options('Timeline', timelineOpts, timelineOptions)
    const { enableSignaling, onDeadline } = opts
    if (enableSignaling !== undefined) callable('enableSignaling', enableSignaling)
    if (onDeadline !== undefined) callable('onDeadline', onDeadline)
    this.#core = new TimelineCore(text('name', name, limits.maxNameBytes), { enableSignaling, onDeadline })
    registry.register(this, this.#core, this)
  }

  /** The context of its fences: a number of this environment's. */
  get context(): number {
    return this.#core.context
  }

  /** As others see it, too. */
  get name(): string {
    return this.#core.timelineName
  }

  /** The last sequence number that was signalled; 0 at the beginning. 32 bits that wrap around. */
  get seqno(): number {
    return this.#core.seqno
  }

  /** Fences that have not signalled. */
  get pending(): number {
    return this.#core.pending
  }

  /** It makes no fences any more, and all of them have signalled. */
  get closed(): boolean {
    return this.#core.closed
  }

  /**
   * A fence that signals when the timeline reaches `seqno`; by default the one after the last that was made. A number that
   * has been reached gives a signalled fence; equal pending ones share one. `EBADF` closed.
   */
  createFence(seqno?: number): Fence {
    this.#check()
    if (seqno !== undefined) integer('seqno', seqno, 0, MAX_SEQNO)
    return this.#core.createFence(seqno)
  }

  /**
   * What was to be done up to here is done: every pending fence up to this one (or this number) signals, in order; with
   * `error` the last of them fails. Returns false, and does nothing, when that has happened before. `EINVAL` for a fence of
   * another timeline, `EBADF` closed.
   */
  signal(target: number | Fence, signalOpts?: SignalFenceOptions): boolean {
    const opts = options('signal', signalOpts, signalOptions)
    const error = checkFenceError(opts.error)
    const fence = isFence(target) ? target : undefined
    if (fence !== undefined && fence.context !== this.context) {
      const expected = 'a fence of this timeline'
      throw problem('argument', { what: 'target', expected, received: 'one of another' })
    }
    const seqno = fence === undefined ? integer('target', target, 0, MAX_SEQNO) : fence.seqno
    this.#check()
    return this.#core.signal(seqno, error)
  }

  /** Completes what is pending with `ENOENT`. Idempotent. */
  close(): void {
    registry.unregister(this)
    this.#core.close(FenceEnd.closed)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #check(): void {
    if (this.#core.closed) throw problem('closedTimeline', { name: this.name })
  }
}
