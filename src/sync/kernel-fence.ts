import { addon } from '../native/load.ts'
import { newContext } from './context.ts'
import { completeFence, type Fence, type FenceOps, makeFence, now } from './fence.ts'
import { hangups } from './hangup-watch.ts'
import { keepAlive } from './keep-alive.ts'

const POLLIN = 1

/** Nobody has the fence any more: its descriptor goes. */
const registry = new FinalizationRegistry<KernelFence>((kernel) => kernel.drop())

/** The fence inside a sync file of the kernel, which keeps its own numbers: here it is the only one of its context. */
export class KernelFence implements FenceOps {
  readonly driverName = 'kernel'
  readonly timelineName = 'sync_file'
  #fd: number
  #watched = false

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** Consumes `fd`, a sync file of the kernel. */
  static make(fd: number): Fence {
    const ops = new KernelFence(fd)
    const fence = makeFence({ context: newContext(), seqno: 1, ops })
    registry.register(fence, ops)
    ops.poll(fence)
    return fence
  }

  enableSignaling(fence: Fence): boolean {
    this.#watched = true
    keepAlive.watched(1)
    hangups.once(this.#fd, POLLIN, () => this.poll(fence))
    return true
  }

  poll(fence: Fence): void {
    if (this.#fd < 0 || (addon().pollNow(this.#fd, POLLIN) & POLLIN) === 0) return
    const status = addon().syncFileStatus(this.#fd)
    this.drop()
    completeFence(fence, status < 0 ? status : undefined, now())
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
