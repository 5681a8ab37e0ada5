import { type DmaConstraints, unconstrained } from '../dma/constraints.ts'
import type { DmaBuf } from '../dmabuf/dmabuf.ts'
import { type AllocateOptions, checkAllocate } from './allocate-options.ts'
import { type HeapMemory, heapBuffer } from './heap-buffer.ts'
import { heapPages } from './heap-pages.ts'
import { type HeapOptions, memoryOf } from './system-heap.ts'

const contiguous: DmaConstraints = Object.freeze({ ...unconstrained, maxSegments: 1 })

/**
 * The exporter of physically contiguous memory, for devices without scatter-gather, as the CMA heap is in the kernel
 * (drivers/dma-buf/heaps/cma_heap.c). Its pages are taken when the buffer is allocated: the area is small, and whoever
 * gets a buffer can rely on it.
 */
export class ContiguousHeap {
  readonly name = 'contiguous'
  readonly #memory: HeapMemory

  constructor(heapOptions?: HeapOptions) {
    const source = heapPages(memoryOf('ContiguousHeap', heapOptions), 'contiguous')
    this.#memory = { exporterName: this.name, source, constraints: contiguous, placeNow: true }
  }

  /**
   * Allocates a buffer; the caller closes it. As {@link SystemHeap.allocate}, and `ENOMEM` (`rule: 'contiguous'`) when no
   * free run of (simulated) memory is long enough.
   */
  async allocate(byteLength: number, allocateOpts?: AllocateOptions): Promise<DmaBuf> {
    return heapBuffer(this.#memory, checkAllocate(byteLength, allocateOpts))
  }
}
