/** Which way data goes: `enum dma_data_direction` (include/linux/dma-direction.h). */
export type SyncDirection = 'to-device' | 'from-device' | 'bidirectional'

/** What the CPU does in a bracket. */
export type CpuUse = 'read' | 'write' | 'read-write'

/**
 * What is done to cache lines. `clean` writes dirty ones back and keeps them; `invalidate` drops them, what was stored in
 * them included. Lines that a range covers only in part belong to somebody else too: invalidating cleans those first.
 */
export type Maintenance = 'clean' | 'invalidate' | 'nothing'

/**
 * What arm64 does when memory is handed from one side to the other, by direction. Derived from `arch_sync_dma_for_cpu()` and
 * `arch_sync_dma_for_device()` in arch/arm64/mm/dma-mapping.c, whose operations are `dcache_inval_poc` (it cleans partial
 * lines) and `dcache_clean_poc` in arch/arm64/mm/cache.S; Linux 6.1 to 7.3. Since 6.0 the way to a device always cleans. Before,
 * `from-device` invalidated there, and other architectures still do: code must not rely on what was stored in a read bracket.
 *
 * `forCpu` is the beginning of a bracket and the unmapping of an attachment, `forDevice` the end of a bracket and the mapping:
 * kernel/dma/direct.c, drivers/dma-buf/heaps/system_heap.c.
 */
export const maintenance: Readonly<
  Record<'forCpu' | 'forDevice', Readonly<Record<SyncDirection, Maintenance>>>
> = {
  forCpu: { 'to-device': 'nothing', 'from-device': 'invalidate', bidirectional: 'invalidate' },
  forDevice: { 'to-device': 'clean', 'from-device': 'clean', bidirectional: 'clean' },
}

/** The direction of a bracket, as `dma_buf_ioctl()` has it for the flags of DMA_BUF_IOCTL_SYNC (drivers/dma-buf/dma-buf.c). */
export const directionOf: Readonly<Record<CpuUse, SyncDirection>> = {
  read: 'from-device',
  write: 'to-device',
  'read-write': 'bidirectional',
}

/** What the program vouches for, so that it is left out: V4L2_BUF_FLAG_NO_CACHE_CLEAN and V4L2_BUF_FLAG_NO_CACHE_INVALIDATE. */
export interface CacheHints {
  /** Nothing was stored: do not clean. */
  readonly skipClean?: boolean
  /** No device has written: do not invalidate. */
  readonly skipInvalidate?: boolean
}
