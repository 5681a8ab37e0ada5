import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { coreOf, type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { exporterCore } from '../dmabuf/export.ts'
import { abortable, aborted } from '../internal/abort.ts'
import { problem } from '../internal/errors.ts'
import { abortSignal, options } from '../internal/validate.ts'
import { readersOf, storageReplaced } from '../share/readers.ts'
import { allocateStorage, type HeapSpec } from './heap-storage.ts'

interface Waiter {
  readonly resolve: (buffer: DmaBuf) => void
  readonly reject: (error: unknown) => void
}

/**
 * A fixed number of equal buffers, used again and again. `acquire` waits for one that nobody has any more: neither
 * this process (`release`, or `close` of the buffer) nor any holder, nor a message under way. What is in a buffer
 * when it is acquired is what its last user left there. A holder that died or left may have kept its mapping, so a
 * buffer that such a one has seen gets fresh memory before it is used again.
 */
export class BufferPool implements AsyncDisposable, Disposable {
  /** How many buffers there are. */
  readonly size: number
  readonly byteLength: number
  readonly #spec: HeapSpec
  readonly #cores = new Set<BufferCore>()
  readonly #idle: BufferCore[] = []
  readonly #waiters: Waiter[] = []
  /** Every user to whom a buffer of this pool was ever given. */
  readonly #users = new Set<number>()
  #closed = false

  /** @internal */
  constructor(exporterName: string, spec: HeapSpec, buffers: number) {
    this.size = buffers
    this.byteLength = spec.byteLength
    this.#spec = spec
    try {
      for (let count = 0; count < buffers; count++) this.#add(exporterName)
    } catch (error) {
      for (const core of this.#cores) core.destroy()
      throw error
    }
  }

  /** Buffers that `acquire` would give at once. */
  get available(): number {
    return this.#idle.length
  }

  /** The next free buffer; first come, first served. `EBADF` when the pool is closed. */
  async acquire(acquireOpts?: { readonly signal?: AbortSignal }): Promise<DmaBuf> {
    const { signal } = options('acquire', acquireOpts, ['signal'])
    abortSignal('signal', signal)
    if (signal?.aborted) throw aborted(signal, 'acquire')
    if (this.#closed) throw problem('closedPool', {})
    const core = this.#idle.shift()
    if (core !== undefined) return this.#giveOut(core)
    return abortable(signal, 'acquire', (resolve, reject) => {
      const waiter = { resolve, reject }
      this.#waiters.push(waiter)
      return () => this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
    })
  }

  /** Gives a buffer back: the same as closing it. It is used again once nobody else has it either. */
  release(buffer: DmaBuf): void {
    if (!this.#cores.has(coreOf(buffer))) throw problem('poolBuffer', {})
    buffer.close()
  }

  /** Frees the idle buffers now and the others when they come back; whoever waits gets `EBADF`. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const waiter of this.#waiters.splice(0)) waiter.reject(problem('closedPool', {}))
    for (const core of this.#idle.splice(0)) core.destroy()
  }

  [Symbol.dispose](): void {
    void this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #add(exporterName: string): void {
    const { storage, mapping } = allocateStorage(this.#spec)
    const core = exporterCore({
      ...storage,
      name: this.#spec.name,
      exporterName,
      ops: { release: () => this.#cores.delete(core) },
      ...(mapping === undefined ? {} : { mapping }),
    })
    core.recycled = true
    core.onUnwrapped = () => core.relocate()
    core.onIdle = () => this.#recycle(core)
    this.#cores.add(core)
    this.#idle.push(core)
  }

  /** Nobody has it any more. */
  #recycle(core: BufferCore): void {
    if (this.#closed) return core.destroy()
    const waiter = this.#waiters.shift()
    if (waiter === undefined) {
      this.#idle.push(core)
      return
    }
    try {
      waiter.resolve(this.#giveOut(core))
    } catch (error) {
      waiter.reject(error)
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
      if (core.frozen || this.#seenByOthers(core)) {
        const { storage, mapping } = allocateStorage(this.#spec)
        core.replaceStorage(storage, mapping)
        storageReplaced(core)
      }
    } catch (error) {
      this.#idle.push(core)
      throw error
    }
    return wrap(core)
  }
}
