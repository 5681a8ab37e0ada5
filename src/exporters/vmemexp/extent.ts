import { problem } from '../../internal/errors.ts'
import { addon } from '../../native/load.ts'
import type { Block } from './block.ts'

/** Pages of a block that can be exchanged as they stand, because they hold nothing else. */
export interface Extent {
  readonly start: number
  readonly length: number
}

/**
 * Which pages of private memory are its own. Memory is exported only where the end of its life is an unmapping: a block
 * that goes back to a heap would bring its shared pages there, and what the program puts on them later would be seen by
 * everybody who ever had the buffer.
 */
export function extentOf(block: Block): Extent {
  const { address, byteLength, base, size } = block
  const page = addon().pageSize
  if (!ownsPages(block)) throw problem('vmemHeap', { bytes: byteLength, why: whyNot(block) })
  const end = address + byteLength
  const start = Math.ceil(address / page) * page
  // Behind the last byte of a block its last page holds nothing else.
  const stop = end === base + size ? Math.ceil(end / page) * page : Math.floor(end / page) * page
  if (stop <= start) throw problem('vmemPartial', { bytes: byteLength, page })
  return { start, length: stop - start }
}

function ownsPages({ owner, address, base, size }: Block): boolean {
  if (owner.pages || addon().isPageBlock(address) === 1) return true
  return addon().isMappedChunk(base, size) === 1
}

function whyNot({ byteLength, base, size }: Block): string {
  const page = addon().pageSize
  if (byteLength < size) return `they are part of a pool of ${size} bytes`
  if (base % page === 0) return 'whoever made this memory is not known'
  return 'malloc took them from its heap'
}
