import { addon } from '../native/load.ts'
import { newContext } from './context.ts'
import { completeFence, type Fence, type FenceOps, makeFence, now } from './fence.ts'
import type { SyncFenceInfo } from './fence-info.ts'
import { hangups } from './hangup-watch.ts'
import { keepAlive } from './keep-alive.ts'
import { type KernelFileInfo, kernelFileInfo } from './kernel-file-info.ts'

const POLLIN = 1

/** Nobody has the fence any more: its descriptor goes. */
const registry = new FinalizationRegistry<KernelFence>((kernel) => kernel.drop())

/**
 * What is inside a sync file of the kernel, one fence or several. The kernel keeps its own numbers: here it is the only one of
 * its context.
 */
export class KernelFence implements FenceOps {
  #fd: number
  /** As of the last look. */
  #info: KernelFileInfo
  #watched = false

  private constructor(fd: number) {
    this.#fd = fd
    this.#info = kernelFileInfo(fd)
  }

  /** Consumes `fd`, a sync file of the kernel. */
  static make(fd: number): Fence {
    const ops = new KernelFence(fd)
    const fence = makeFence({ context: newContext(), seqno: 1, ops })
    registry.register(fence, ops)
    ops.poll(fence)
    return fence
  }

  /** Of several fences that of the kernel's array of them. */
  get driverName(): string {
    const [first, second] = this.#info.fences
    return second === undefined ? (first?.driverName ?? 'kernel') : 'dma_fence_array'
  }

  get timelineName(): string {
    const [first, second] = this.#info.fences
    return second === undefined ? (first?.timelineName ?? 'sync_file') : 'unbound'
  }

  enableSignaling(fence: Fence): boolean {
    this.#watched = true
    keepAlive.watched(1)
    hangups.once(this.#fd, POLLIN, () => this.poll(fence))
    return true
  }

  poll(fence: Fence): void {
    if (this.#fd < 0 || (addon().pollNow(this.#fd, POLLIN) & POLLIN) === 0) return
    this.#info = kernelFileInfo(this.#fd)
    this.drop()
    const { fences } = this.#info
    const failed = fences.find(({ status }) => status < 0)
    let time = 0n
    for (const { timestamp } of fences) if (timestamp > time) time = timestamp
    completeFence(fence, failed?.status, time === 0n ? now() : time)
  }

  infos(): readonly SyncFenceInfo[] {
    if (this.#fd >= 0) this.#info = kernelFileInfo(this.#fd)
    return this.#info.fences
  }

  setDeadline(_: Fence, deadline: bigint): void {
    // A hint: kernels before 6.4 do not take it.
    if (this.#fd >= 0) addon().syncFileSetDeadline(this.#fd, Number(deadline / 1000n))
  }

  block(_: Fence, milliseconds: number): void {
    if (this.#fd >= 0) addon().pollFor(this.#fd, POLLIN, milliseconds)
  }

  descriptor(): number {
    return this.#fd
  }

  /** Idempotent. */
  drop(): void {
    if (this.#fd < 0) return
    hangups.cancel(this.#fd)
    addon().close(this.#fd)
    this.#fd = -1
    if (this.#watched) keepAlive.watched(-1)
  }
}
