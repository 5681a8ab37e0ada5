import { coreOf, type DmaBuf } from '../dmabuf/dmabuf.ts'
import { aborted } from '../internal/abort.ts'
import { problem } from '../internal/errors.ts'
import { abortSignal, options } from '../internal/validate.ts'
import type { HeapSpec } from './heap-storage.ts'
import { PoolState } from './pool-state.ts'

/** Closes the pools that were forgotten: their buffers would stay for ever. */
const registry = new FinalizationRegistry<PoolState>((state) => state.close())

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
  readonly #state: PoolState

  /** @internal */
  constructor(exporterName: string, spec: HeapSpec, buffers: number) {
    this.size = buffers
    this.byteLength = spec.byteLength
    this.#state = new PoolState(exporterName, spec, buffers)
    registry.register(this, this.#state, this.#state)
  }

  /** Buffers that `acquire` would give at once. */
  get available(): number {
    return this.#state.available
  }

  /** The next free buffer; first come, first served. `EBADF` when the pool is closed. */
  async acquire(acquireOpts?: { readonly signal?: AbortSignal }): Promise<DmaBuf> {
    const { signal } = options('acquire', acquireOpts, ['signal'])
    abortSignal('signal', signal)
    if (signal?.aborted) throw aborted(signal, 'acquire')
    return this.#state.acquire(signal, this)
  }

  /** Gives a buffer back: the same as closing it. It is used again once nobody else has it either. */
  release(buffer: DmaBuf): void {
    if (!this.#state.cores.has(coreOf(buffer))) throw problem('poolBuffer', {})
    buffer.close()
  }

  /** Frees the idle buffers now and the others when they come back; whoever waits gets `EBADF`. Idempotent. */
  async close(): Promise<void> {
    registry.unregister(this.#state)
    this.#state.close()
  }

  [Symbol.dispose](): void {
    void this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
