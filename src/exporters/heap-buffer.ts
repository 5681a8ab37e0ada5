import type { DmaConstraints } from '../dma/constraints.ts'
import type { PageSource } from '../dma/page-source.ts'
import { type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { exporterCore } from '../dmabuf/export.ts'
import { placedCore } from '../dmabuf/placed-core.ts'
import { Placement } from '../dmabuf/placement.ts'
import type { AllocateRequest } from './allocate-options.ts'
import { allocateStorage } from './heap-storage.ts'

/** What a heap's memory is like. */
export interface HeapMemory {
  readonly exporterName: string
  readonly source: PageSource
  /** What the heap itself asks of its pages. */
  readonly constraints: DmaConstraints
  /** Take the pages with the storage, and not only when the first device attaches. */
  readonly placeNow: boolean
}

const ops = { release: () => {} }

/** A buffer of a heap: placed when it may move or its allocation is put off, else fixed. */
export async function heapBuffer(heap: HeapMemory, request: AllocateRequest): Promise<DmaBuf> {
  const { spec, policy, delayed } = request
  if (!policy.movable && !delayed) return fixedBuffer(heap, request)
  const { exporterName, source, constraints } = heap
  const { core, placement } = placedCore({
    ...{ name: spec.name, byteLength: spec.byteLength, sharing: spec.sharing, coherency: spec.coherency },
    ...{ exporterName, source, constraints, policy, ops },
    allocateStorage: () => allocateStorage(spec),
  })
  if (spec.guard !== undefined) core.mappings.guardBy(spec.guard, 0)
  try {
    if (!delayed) await placement.allocate()
  } catch (error) {
    core.destroy()
    throw error
  }
  return wrap(core)
}

/** A buffer that stays where it is. */
export function fixedBuffer(heap: HeapMemory, { spec, policy }: AllocateRequest): DmaBuf {
  const { exporterName, source, constraints } = heap
  const pages = heap.placeNow ? source.allocate(spec.byteLength, constraints) : undefined
  if (pages instanceof Promise) throw new Error('a heap takes its pages at once')
  let made: ReturnType<typeof allocateStorage>
  try {
    made = allocateStorage(spec)
  } catch (error) {
    pages?.free()
    throw error
  }
  const { storage, mapping } = made
  const core = exporterCore({
    ...storage,
    name: spec.name,
    exporterName,
    ops,
    ...(mapping === undefined ? {} : { mapping }),
  })
  if (spec.guard !== undefined) core.mappings.guardBy(spec.guard, 0)
  // Most buffers never meet a device: theirs is made when one attaches.
  if (pages === undefined) core.pageSource = source
  else new Placement(core, { source, policy, pages, constraints })
  return wrap(core)
}
