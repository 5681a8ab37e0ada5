import { isMainThread } from 'node:worker_threads'
import { abortable } from '../internal/abort.ts'
import { errno, problem } from '../internal/errors.ts'
import { runStranger } from '../internal/stranger.ts'
import { abortSignal, bigInteger, callable, integer, options } from '../internal/validate.ts'
import { newContext } from './context.ts'
import type { FenceHandle } from './fence-handle.ts'
import type { SyncFenceInfo } from './fence-info.ts'
import { keepAlive } from './keep-alive.ts'

/** What a fence has come to: the error of one that failed is its `error`. */
export type FenceStatus = 'pending' | 'signalled' | 'error'

/** Called once, when the fence signals, in the turn of whoever signals it. */
export type FenceCallback = (fence: Fence) => void

/** How long to wait. */
export interface FenceWaitOptions {
  /** Ends the waiting with an `ABORT_ERR`. */
  readonly signal?: AbortSignal
  /** Milliseconds after which the answer is `false`; 0 asks without waiting. */
  readonly timeout?: number
}

/** What stands behind a fence that is not signalled by hand (`struct dma_fence_ops`). */
export interface FenceOps {
  readonly driverName: string
  readonly timelineName: string
  /** Begins to watch for the signal, at the first wait or callback; false: it has come already. At most once. */
  enableSignaling?(fence: Fence): boolean
  /** Asks whether it has come, and completes the fence then. */
  poll?(fence: Fence): void
  /** Somebody needs it by this time. */
  setDeadline?(fence: Fence, deadline: bigint): void
  /** Blocks for at most so many milliseconds, or until it is worth asking again. Without it only this thread can signal. */
  block?(fence: Fence, milliseconds: number): void
  /** The sync file of the kernel behind a pending fence; borrowed. */
  descriptor?(fence: Fence): number
  /** What is told of the fences inside, where it stands for fences that are none of this library's. */
  infos?(): readonly SyncFenceInfo[]
  /** What another environment needs to wait for it; asked of pending fences only. Containers have none. */
  handle?(fence: Fence): FenceHandle | undefined
}

export interface FenceInit {
  readonly context: number
  readonly seqno: number
  readonly ops: FenceOps
}

const waitOptions = ['signal', 'timeout'] as const
const MAX_ERROR = 4095
/** Milliseconds that a thread is blocked at a time. */
const SLICE = 50
/** The longest delay of a timer. */
export const MAX_TIMEOUT = 2 ** 31 - 1
const LAST_TIME = 2n ** 63n - 1n

/** Nobody outside the library can make a fence. */
export const makingFence = Symbol('making')

/** Makes a fence. For the rest of the library. */
export let makeFence: (init: FenceInit) => Fence
/** Signals a fence with its error (negative, or `undefined`) and time; false when it was signalled before. */
export let completeFence: (fence: Fence, error: number | undefined, timestamp: bigint) => boolean
/** Blocks on a fence, see {@link FenceOps.block}. */
export let blockOn: (fence: Fence, milliseconds: number) => void
/** The kernel's own sync file behind a pending fence, borrowed; `undefined` where there is none. */
export let kernelDescriptorOf: (fence: Fence) => number | undefined
/** What `SYNC_IOC_FILE_INFO` tells of a fence that is no container of this library's. */
export let infosOf: (fence: Fence) => readonly SyncFenceInfo[]
/** How a pending fence that is no container crosses to another environment. */
export let handleOf: (fence: Fence) => FenceHandle | undefined
/** Whether the value is a fence. */
export let isFence: (value: unknown) => value is Fence

/** Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share. */
export function now(): bigint {
  return process.hrtime.bigint()
}

/** A negative errno that a fence may be completed with. */
export function checkFenceError(value: unknown): number | undefined {
  return value === undefined ? undefined : integer('error', value, -MAX_ERROR, -1)
}

/**
 * Something that is going to be done: it signals once, with or without an error, and stays so (`struct dma_fence`). Made by
 * `Timeline.createFence`, or received. Whoever signals it may be in another process; when that one dies the fence signals
 * with `EOWNERDEAD`. Needs no closing. Follows drivers/dma-buf/dma-fence.c.
 */
export class Fence {
  /** Fences of one context signal in order; a number of this environment's. */
  readonly context: number
  /** Its place in the context: 32 bits that wrap around. */
  readonly seqno: number
  readonly #ops: FenceOps
  /** Added to at the end, run from the beginning; undefined once signalled. */
  #callbacks: Set<FenceCallback> | undefined = new Set()
  #enabled = false
  #error: number | undefined
  #timestamp = 0n
  #deadline: bigint | undefined

  static {
    makeFence = (init) => new Fence(init, makingFence)
    completeFence = (fence, error, timestamp) => fence.#complete(error, timestamp)
    blockOn = (fence, milliseconds) => fence.#block(milliseconds)
    kernelDescriptorOf = (fence) => (fence.isSignalled ? undefined : fence.#ops.descriptor?.(fence))
    infosOf = (fence) => fence.#infos()
    handleOf = (fence) => fence.#ops.handle?.(fence)
    isFence = (value): value is Fence => typeof value === 'object' && value !== null && #ops in value
  }

  /** @internal */
  constructor(init: FenceInit, key: symbol) {
    if (key !== makingFence) throw problem('receiver', { what: 'a fence of a Timeline' })
    const { context, seqno, ops } = init
    this.context = context
    this.seqno = seqno
    this.#ops = ops
  }

  /** A fence that is signalled already (`dma_fence_get_stub()`). */
  static signalled(): Fence {
    return signalledFence(now())
  }

  /** Who signals it, as `SYNC_IOC_FILE_INFO` shows it; another name once it has, as in the kernel. */
  get driverName(): string {
    return this.isSignalled ? 'detached-driver' : this.#ops.driverName
  }

  /** The name of its timeline, until it has signalled. */
  get timelineName(): string {
    return this.isSignalled ? 'signaled-timeline' : this.#ops.timelineName
  }

  /** Pending, signalled, or failed with {@link error}. Never goes back. */
  get status(): FenceStatus {
    if (!this.isSignalled) return 'pending'
    return this.#error === undefined ? 'signalled' : 'error'
  }

  /** Signalled, with or without an error. For a fence of another process this is the truth as of now, wait or no wait. */
  get isSignalled(): boolean {
    if (this.#callbacks !== undefined) this.#ops.poll?.(this)
    return this.#callbacks === undefined
  }

  /** The negative errno that it signalled with; `undefined` without one, and while pending. */
  get error(): number | undefined {
    return this.isSignalled ? this.#error : undefined
  }

  /** When it signalled, in nanoseconds of CLOCK_MONOTONIC (`process.hrtime.bigint()`); `0n` while pending. */
  get timestamp(): bigint {
    return this.isSignalled ? this.#timestamp : 0n
  }

  /** The earliest time by which somebody said to need it, in nanoseconds of CLOCK_MONOTONIC. */
  get deadline(): bigint | undefined {
    return this.#deadline
  }

  /**
   * A hint to whoever signals it: needed by this time (nanoseconds of CLOCK_MONOTONIC). The earliest one counts; a signalled
   * fence takes none. It reaches a signaller in another process as well, if its timeline has an `onDeadline` (there at most 16
   * for each fence are heard), and the kernel's drivers (since Linux 6.4).
   */
  setDeadline(deadline: bigint): void {
    bigInteger('deadline', deadline, 0n, LAST_TIME)
    if (this.isSignalled || (this.#deadline !== undefined && this.#deadline <= deadline)) return
    this.#deadline = deadline
    this.#ops.setDeadline?.(this, deadline)
  }

  /**
   * Calls back when the fence signals: in order of addition, before anybody who waits goes on. False when it has signalled
   * already (the kernel's `-ENOENT`): then the callback never runs. A callback that throws does so in a microtask.
   */
  addCallback(callback: FenceCallback): boolean {
    callable('callback', callback)
    if (this.#callbacks?.has(callback)) {
      const expected = 'a callback that was not added before'
      throw problem('argument', { what: 'callback', expected, received: 'one that was' })
    }
    this.#enable()
    if (this.#callbacks === undefined) return false
    this.#callbacks.add(callback)
    return true
  }

  /** True when the callback is not going to run because of this; false when it has run, or was never added. */
  removeCallback(callback: FenceCallback): boolean {
    return this.#callbacks?.delete(callback) ?? false
  }

  /**
   * Resolves to `true` when the fence has signalled, even with an error (which is its `error`: as in the kernel, that does
   * not fail the wait), and to `false` when `timeout` milliseconds passed before. Keeps the process alive meanwhile when
   * another process has to signal it, or there is a timeout.
   */
  wait(waitOpts?: FenceWaitOptions): Promise<boolean> {
    try {
      const { signal, timeout } = checkWaitOptions('wait', waitOpts)
      return this.#wait(signal, timeout)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * As {@link wait}, **blocking the thread**, in slices of at most 50 ms so that a worker can still be terminated: for worker
   * threads only. Errors: `EDEADLK` on the main thread, and for a fence that this very thread would have to signal.
   */
  waitSync(waitOpts?: Omit<FenceWaitOptions, 'signal'>): boolean {
    const { timeout } = checkWaitOptions('waitSync', waitOpts)
    if (this.isSignalled || timeout === 0) return this.isSignalled
    if (isMainThread) throw problem('mainThread', { what: 'waitSync' })
    const until = timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout
    while (!this.isSignalled) {
      const left = Math.ceil(until - performance.now())
      if (left <= 0) return false
      this.#block(Math.min(left, SLICE))
    }
    return true
  }

  #block(milliseconds: number): void {
    if (this.#ops.block === undefined) throw problem('ownFence', { name: this.#ops.timelineName })
    this.#ops.block(this, milliseconds)
  }

  #wait(signal: AbortSignal | undefined, timeout: number | undefined): Promise<boolean> {
    if (signal?.aborted || this.isSignalled || timeout === 0) {
      return abortable(signal, 'wait', (resolve) => {
        resolve(this.isSignalled)
        return () => {}
      })
    }
    return abortable(signal, 'wait', (resolve) => {
      let timer: NodeJS.Timeout | undefined
      const stop = () => {
        clearTimeout(timer)
        if (this.removeCallback(done)) keepAlive.waits(-1)
      }
      const done = () => {
        clearTimeout(timer)
        keepAlive.waits(-1)
        resolve(true)
      }
      if (!this.addCallback(done)) {
        resolve(true)
        return stop
      }
      keepAlive.waits(1)
      if (timeout !== undefined) {
        timer = setTimeout(() => {
          stop()
          resolve(false)
        }, timeout)
      }
      return stop
    })
  }

  #infos(): readonly SyncFenceInfo[] {
    const { driverName, timelineName, timestamp, isSignalled, error } = this
    const own = { driverName, timelineName, timestamp, status: error ?? (isSignalled ? 1 : 0) }
    const infos = this.#ops.infos?.() ?? []
    return infos.length === 0 ? [own] : infos
  }

  /** Once for each fence, as `dma_fence_enable_sw_signaling()`. */
  #enable(): void {
    if (this.#enabled || this.#callbacks === undefined) return
    this.#enabled = true
    if (this.#ops.enableSignaling?.(this) === false) this.#complete(undefined, now())
  }

  #complete(error: number | undefined, timestamp: bigint): boolean {
    const callbacks = this.#callbacks
    if (callbacks === undefined) return false
    this.#callbacks = undefined
    this.#error = error
    this.#timestamp = timestamp
    for (const callback of callbacks) runStranger(() => callback(this))
    return true
  }
}

const stubOps: FenceOps = { driverName: 'stub', timelineName: 'stub' }

/** A fence that signalled at this time. */
export function signalledFence(timestamp: bigint, error?: number): Fence {
  const fence = makeFence({ context: newContext(), seqno: 0, ops: stubOps })
  completeFence(fence, error, timestamp)
  return fence
}

export function checkFence(what: string, value: unknown): Fence {
  if (isFence(value)) return value
  throw problem('receiver', { what: `a Fence for ${what}` })
}

export function checkWaitOptions(
  name: string,
  waitOpts: FenceWaitOptions | undefined,
): { signal: AbortSignal | undefined; timeout: number | undefined } {
  const opts = options(name, waitOpts, waitOptions)
  const timeout = opts.timeout === undefined ? undefined : integer('timeout', opts.timeout, 0, MAX_TIMEOUT)
  return { signal: abortSignal('signal', opts.signal), timeout }
}

/** Completed because whoever was to signal it has ended it: closed the timeline, forgot it, died. */
export const FenceEnd = {
  closed: -errno.ENOENT,
  forgotten: -errno.EDEADLK,
  /** Not in every Node's `os.constants`. */
  died: -130,
} as const
