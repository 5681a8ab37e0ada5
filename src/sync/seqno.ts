/** Sequence numbers of a timeline: 32 bits that wrap around, compared as `__dma_fence_is_later()` does. */

/** Whether `a` comes after `b`; equal ones do not. */
export function isLater(a: number, b: number): boolean {
  return ((a - b) | 0) > 0
}

/** `seqno + step`, wrapped around. */
export function seqnoAfter(seqno: number, step = 1): number {
  return (seqno + step) >>> 0
}
