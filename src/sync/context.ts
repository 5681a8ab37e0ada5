let last = 0

/** A number for a context that no other one of this environment has, as `dma_fence_context_alloc()`. */
export function newContext(): number {
  return ++last
}
