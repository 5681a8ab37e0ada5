import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { exporterCore } from '../dmabuf/export.ts'
import { abortable } from '../internal/abort.ts'
import { problem } from '../internal/errors.ts'
import { refund, unrefund } from '../memory/budget.ts'
import { readersOf, storageReplaced } from '../share/readers.ts'
import { allocateStorage, type HeapSpec } from './heap-storage.ts'

interface Waiter {
  readonly resolve: (buffer: DmaBuf) => void
  readonly reject: (error: unknown) => void
  /** The pool as its user knows it: not collected as long as somebody waits. */
  readonly pool: object
}

/**
 * What a pool is made of. Its buffers know it, and they are alive until they are destroyed; the `BufferPool` that
 * its user has is known to nobody here, so that a forgotten one is collected.
 */
export class PoolState {
  readonly cores = new Set<BufferCore>()
  readonly #spec: HeapSpec
  readonly #idle: BufferCore[] = []
  readonly #waiters: Waiter[] = []
  /** Every user to whom a buffer of this pool was ever given. */
  readonly #users = new Set<number>()
  #closed = false

  constructor(exporterName: string, spec: HeapSpec, buffers: number) {
    this.#spec = spec
    try {
      for (let count = 0; count < buffers; count++) this.#add(exporterName)
    } catch (error) {
      for (const core of this.cores) core.destroy()
      throw error
    }
  }

  get available(): number {
    return this.#idle.length
  }

  async acquire(signal: AbortSignal | undefined, pool: object): Promise<DmaBuf> {
    if (this.#closed) throw problem('closedPool', {})
    const core = this.#idle.shift()
    if (core !== undefined) return this.#giveOut(core)
    return abortable(signal, 'acquire', (resolve, reject) => {
      const waiter = { resolve, reject, pool }
      this.#waiters.push(waiter)
      return () => this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
    })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const waiter of this.#waiters.splice(0)) waiter.reject(problem('closedPool', {}))
    for (const core of this.#idle.splice(0)) core.destroy()
  }

  #add(exporterName: string): void {
    const { storage, mapping } = allocateStorage(this.#spec)
    const core = exporterCore({
      ...storage,
      name: this.#spec.name,
      exporterName,
      ops: { release: () => this.cores.delete(core) },
      ...(mapping === undefined ? {} : { mapping }),
    })
    if (this.#spec.guard !== undefined) core.mappings.guardBy(this.#spec.guard, 0)
    core.recycled = true
    core.onUnwrapped = () => core.relocate()
    core.onIdle = () => this.#recycle(core)
    this.cores.add(core)
    this.#idle.push(core)
  }

  /** Nobody has it any more. */
  #recycle(core: BufferCore): void {
    if (this.#closed) {
      core.destroy()
      return
    }
    this.#idle.push(core)
    // One whose buffer cannot be made ready is told so, and the next one may have more luck.
    while (this.#idle.length > 0) {
      const waiter = this.#waiters.shift()
      const next = waiter === undefined ? undefined : this.#idle.shift()
      if (waiter === undefined || next === undefined) return
      try {
        waiter.resolve(this.#giveOut(next))
      } catch (error) {
        waiter.reject(error)
      }
    }
  }

  /**
   * Whether somebody may still map this memory who shall not see its next contents, or has seen what the next reader
   * shall not: a reader that is gone, or readers of fewer users than the pool serves.
   */
  #seenByOthers(core: BufferCore): boolean {
    const readers = readersOf(core)
    const users = new Set<number>()
    let gone = false
    for (const reader of readers) {
      users.add(reader.uid)
      this.#users.add(reader.uid)
      gone ||= reader.ended
    }
    return readers.size > 0 && (gone || users.size < this.#users.size)
  }

  #giveOut(core: BufferCore): DmaBuf {
    try {
      if (core.frozen || this.#seenByOthers(core)) this.#renew(core)
    } catch (error) {
      this.#idle.push(core)
      throw error
    }
    return wrap(core)
  }

  #renew(core: BufferCore): void {
    // The new memory takes the place of the old in the budget, too: a pool may fill it exactly.
    const old = core.storage
    refund(old.charged)
    try {
      const { storage, mapping } = allocateStorage(this.#spec)
      core.storage = { ...old, charged: 0 }
      core.replaceStorage(storage, mapping)
    } catch (error) {
      unrefund(old.charged)
      throw error
    }
    storageReplaced(core)
  }
}
