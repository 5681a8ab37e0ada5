import { unconstrained } from '../dma/constraints.ts'
import { PhysicalMemory, systemMemory } from '../dma/physical-memory.ts'
import type { DmaBuf } from '../dmabuf/dmabuf.ts'
import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { integer, options } from '../internal/validate.ts'
import { type AllocateOptions, checkAllocate, pooledOptions, specOf } from './allocate-options.ts'
import { BufferPool } from './buffer-pool.ts'
import { fixedBuffer, type HeapMemory, heapBuffer } from './heap-buffer.ts'
import { heapPages } from './heap-pages.ts'

export interface HeapOptions {
  /** The (simulated) physical memory that it takes pages from; default: this environment's own. */
  readonly memory?: PhysicalMemory
}

export interface PoolOptions extends Pick<AllocateOptions, (typeof pooledOptions)[number]> {
  readonly byteLength: number
  /** How many. All of them are allocated at once. */
  readonly buffers: number
}

const poolOptions = [...pooledOptions, 'byteLength', 'buffers'] as const

/**
 * The exporter of ordinary memory, as /dev/dma_heap/system is in the kernel (drivers/dma-buf/heaps/system_heap.c):
 * sealed, preallocated, zeroed memfds, of scattered pages where a device asks for them. Needs no device and no privilege.
 */
export class SystemHeap {
  readonly name = 'system'
  readonly #memory: HeapMemory

  constructor(heapOptions?: HeapOptions) {
    const memory = memoryOf('SystemHeap', heapOptions)
    const source = heapPages(memory, 'scattered')
    this.#memory = { exporterName: this.name, source, constraints: unconstrained, placeNow: false }
  }

  /**
   * Allocates a buffer; the caller closes it. `byteLength` is from 1 byte up; storage is whole pages, the size asked
   * for is kept. Errors: `EDQUOT` beyond the memory budget, `ENOSPC`/`ENOMEM` without memory, `EMFILE`.
   */
  async allocate(byteLength: number, allocateOpts?: AllocateOptions): Promise<DmaBuf> {
    return heapBuffer(this.#memory, checkAllocate(byteLength, allocateOpts))
  }

  /** As {@link allocate}, at once: for fixed buffers. */
  allocateSync(byteLength: number, allocateOpts?: Omit<AllocateOptions, 'movable' | 'delayed'>): DmaBuf {
    const request = checkAllocate(byteLength, allocateOpts)
    checkFixed(request)
    return fixedBuffer(this.#memory, request)
  }

  /** A pool of fixed buffers that come back when nobody has them any more; the caller closes it. */
  async pool(poolOpts: PoolOptions): Promise<BufferPool> {
    const opts = options('pool', poolOpts, poolOptions)
    const buffers = integer('buffers', opts.buffers, 1, limits.maxPoolBuffers)
    return new BufferPool(this.name, specOf(opts.byteLength, opts), buffers)
  }
}

export function memoryOf(heap: string, heapOptions: HeapOptions | undefined): PhysicalMemory {
  const { memory } = options(heap, heapOptions, ['memory'])
  if (memory !== undefined && !(memory instanceof PhysicalMemory)) {
    throw problem('receiver', { what: 'a PhysicalMemory' })
  }
  return memory ?? systemMemory()
}

function checkFixed({ policy, delayed }: ReturnType<typeof checkAllocate>): void {
  if (!policy.movable && !delayed) return
  const what = policy.movable ? 'movable' : 'delayed'
  throw problem('argument', { what, expected: 'none here (`await allocate()` has it)', received: 'true' })
}
