import type { Segment } from '../../dma/constraints.ts'
import type { PageSource } from '../../dma/page-source.ts'
import { systemMemory } from '../../dma/physical-memory.ts'
import type { BufferCore } from '../../dmabuf/buffer-core.ts'
import { coreOf, type DmaBuf } from '../../dmabuf/dmabuf.ts'
import { systemError } from '../../internal/errors.ts'
import { addon } from '../../native/load.ts'

/** Documentation/admin-guide/mm/pagemap.rst. */
const FRAME = (1n << 55n) - 1n
const PRESENT = 1n << 63n

/**
 * Where a buffer really lies in physical memory, as runs of page frames, by /proc/self/pagemap; the first one begins with
 * the buffer's first byte. `undefined` where the kernel does not say: it takes CAP_SYS_ADMIN, or for a page that is not
 * in memory. Only locked pages (the default of `vmemexp.export`) are known to stay, and even they may be migrated.
 */
export function frames(buffer: DmaBuf): Segment[] | undefined {
  const core = coreOf(buffer)
  const { lead, page, words } = pageWords(core)
  return segmentsOf(words, page, lead, core.storage.byteLength)
}

/** The pages under a buffer for its placement: the real ones where they are known, else simulated ones. */
export function framePages(core: BufferCore): PageSource {
  return {
    allocate: (byteLength, constraints) => {
      const { page, words } = pageWords(core)
      const segments = segmentsOf(words, page, 0, words.length * page)
      return segments === undefined
        ? systemMemory().allocate(byteLength, { constraints })
        : { segments, free: () => {} }
    },
  }
}

function pageWords({ mapping, storage, name }: BufferCore) {
  const page = addon().pageSize
  const lead = storage.offset % page
  const words = new BigUint64Array(Math.ceil((lead + storage.byteLength) / page))
  // Only pages that this mapping has touched have an entry.
  mapping.populate(false)
  const result = addon().pagemap(mapping, words)
  if (result < 0) throw systemError(result, 'read', `asking for the page frames of buffer ${name}`)
  return { page, lead, words }
}

/** Joins neighbouring frames; `undefined` when one is hidden or missing. */
export function segmentsOf(
  words: BigUint64Array,
  page: number,
  lead: number,
  byteLength: number,
): Segment[] | undefined {
  const segments: { address: number; length: number }[] = []
  let left = byteLength
  let skip = lead
  for (const word of words) {
    const frame = word & FRAME
    if ((word & PRESENT) === 0n || frame === 0n) return undefined
    const address = Number(frame) * page + skip
    const length = Math.min(page - skip, left)
    const last = segments.at(-1)
    if (last !== undefined && last.address + last.length === address) last.length += length
    else segments.push({ address, length })
    left -= length
    skip = 0
  }
  return segments
}
