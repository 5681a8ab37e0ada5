import { problem, systemError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { instance, options, text } from '../internal/validate.ts'
import { addon } from '../native/load.ts'
import { checkFence, type Fence, type FenceWaitOptions, handleOf, kernelDescriptorOf } from './fence.ts'
import { leavesOf, mergeFences } from './merge.ts'

/** How a sync file is called. */
export interface SyncFileOptions {
  /** Shown by `info()`; at most 31 bytes. By default driver, timeline, context and number of the fence. */
  readonly name?: string
}

/** One fence of a sync file, as `SYNC_IOC_FILE_INFO` tells of it. */
export interface SyncFenceInfo {
  readonly driverName: string
  readonly timelineName: string
  /** 1 signalled, 0 pending, or the negative errno. */
  readonly status: number
  /** Nanoseconds of CLOCK_MONOTONIC; `0n` while pending. */
  readonly timestamp: bigint
}

/** What `SYNC_IOC_FILE_INFO` tells. */
export interface SyncFileInfo {
  readonly name: string
  /** The errno (negative) of one that failed; 0 while one is pending; 1. */
  readonly status: number
  readonly fences: readonly SyncFenceInfo[]
}

/** The descriptors of a sync file, which outlive the object that the collector takes. */
interface Ends {
  theirs: number
  /** Ours of a pair made here: closed when the fence signals. */
  mine: number
}

const syncFileOptions = ['name'] as const

const registry = new FinalizationRegistry<() => void>((close) => close())

/**
 * A fence behind a descriptor: `poll(2)` says that it is readable (`POLLIN | POLLHUP`) once the fence has signalled, with or
 * without an error, and it crosses to other processes (`channel.send(message, buffers, { fences })`). Whoever makes or
 * receives it closes it; the fence lives on. Follows drivers/dma-buf/sync_file.c.
 */
export class SyncFile implements Disposable {
  /** What it stands for: an array when it was merged of several. Lives on when the file is closed. */
  readonly fence: Fence
  /** The name that it was given. */
  readonly name: string
  #ends: Ends | undefined
  #stop: (() => void) | undefined
  #closed = false

  /** @internal Use {@link SyncFile.from}. */
  constructor(fence: Fence, name: string) {
    this.fence = checkFence('fence', fence)
    this.name = name === '' ? defaultName(fence) : name
  }

  /** `sync_file_create()`. */
  static from(fence: Fence, syncFileOpts?: SyncFileOptions): SyncFile {
    return new SyncFile(fence, nameOf('SyncFile.from', syncFileOpts))
  }

  /**
   * A file that signals when both have: `SYNC_IOC_MERGE`. Of each timeline only the latest fence stays, and what has
   * signalled is left out, its error with it. The two stay as they are, and can be closed.
   */
  static merge(a: SyncFile, b: SyncFile, syncFileOpts?: SyncFileOptions): SyncFile {
    instance('a', a, SyncFile)
    instance('b', b, SyncFile)
    return new SyncFile(mergeFences(a.fence, b.fence), nameOf('SyncFile.merge', syncFileOpts))
  }

  /**
   * The descriptor, borrowed: valid until `close()`, for `poll(2)` in any program. While the fence of one timeline is pending
   * it is the very end that its signaller holds the other of, so it tells whatever becomes of this process. Of a merged
   * file it is an end whose other one this environment closes when the last of its fences has signalled (and when it ends
   * itself); other environments that such a file is sent to still listen to each signaller. A hang-up is a hint: the
   * fence's `status` is the truth. `EBADF` closed.
   */
  get fd(): number {
    if (this.#closed) throw problem('closedSyncFile', { name: this.name })
    this.#ends ??= this.#open()
    return this.#ends.theirs
  }

  /** It has no descriptor any more. */
  get closed(): boolean {
    return this.#closed
  }

  /** See {@link Fence.wait}. */
  wait(waitOpts?: FenceWaitOptions): Promise<boolean> {
    return this.fence.wait(waitOpts)
  }

  /** `SYNC_IOC_FILE_INFO` with room for all fences. */
  info(): SyncFileInfo {
    const fences = Array.from(leavesOf(this.fence), fenceInfo)
    const failed = fences.find(({ status }) => status < 0)
    const status = failed?.status ?? (fences.every((fence) => fence.status === 1) ? 1 : 0)
    return { name: this.name, status, fences }
  }

  /** Closes the descriptor. Idempotent. */
  close(): void {
    this.#closed = true
    registry.unregister(this)
    this.#stop?.()
    this.#stop = undefined
    this.#ends = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #open(): Ends {
    const native = addon()
    const pending = kernelDescriptorOf(this.fence) ?? handleOf(this.fence)?.end
    const what = `a descriptor for sync file ${this.name}`
    if (pending !== undefined) {
      const theirs = native.duplicate(pending)
      if (theirs < 0) throw systemError(theirs, 'fcntl', what)
      return this.#owned({ theirs, mine: -1 }, () => {})
    }
    const result = native.socketPair()
    if (result < 0) throw systemError(result, 'socketpair', what)
    const [mine = -1, theirs = -1] = native.scratch.descriptors
    const ends: Ends = { mine, theirs }
    const { fence } = this
    const hangUp = () => {
      if (ends.mine >= 0) native.close(ends.mine)
      ends.mine = -1
    }
    if (!fence.addCallback(hangUp)) hangUp()
    return this.#owned(ends, () => {
      fence.removeCallback(hangUp)
      hangUp()
    })
  }

  /** From now on they are closed with this file, or with its collection. */
  #owned(ends: Ends, also: () => void): Ends {
    const stop = () => {
      also()
      addon().close(ends.theirs)
    }
    this.#stop = stop
    registry.register(this, stop, this)
    return ends
  }
}

function nameOf(what: string, syncFileOpts: SyncFileOptions | undefined): string {
  return text('name', options(what, syncFileOpts, syncFileOptions).name ?? '', limits.maxNameBytes)
}

function defaultName(fence: Fence): string {
  return `${fence.driverName}-${fence.timelineName}${fence.context}-${fence.seqno}`
}

function fenceInfo(fence: Fence): SyncFenceInfo {
  const { driverName, timelineName, timestamp, isSignalled, error } = fence
  return { driverName, timelineName, timestamp, status: error ?? (isSignalled ? 1 : 0) }
}
