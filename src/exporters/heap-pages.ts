import type { PageSource } from '../dma/page-source.ts'
import type { PhysicalMemory } from '../dma/physical-memory.ts'

/** A heap's way of taking pages from memory. */
export function heapPages(memory: PhysicalMemory, layout: 'scattered' | 'contiguous'): PageSource {
  return {
    allocate: (byteLength, constraints) => memory.allocate(byteLength, { constraints, layout }),
  }
}
