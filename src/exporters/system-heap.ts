import { type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { exporterCore } from '../dmabuf/export.ts'
import { limits } from '../internal/limits.ts'
import { boolean, integer, oneOf, options, text } from '../internal/validate.ts'
import type { HugePages } from '../memory/memfd.ts'
import type { Sharing } from '../memory/seals.ts'
import { BufferPool } from './buffer-pool.ts'
import { allocateStorage, type HeapSpec } from './heap-storage.ts'

export interface AllocateOptions {
  /** Shown in `bufinfo`, in /proc and to every holder; at most 31 bytes. */
  readonly name?: string
  /**
   * `'writable'` (default): whoever has the buffer may write. `'read-only'`: only this environment ever can; the
   * kernel holds everybody else off (F_SEAL_FUTURE_WRITE), and `freeze()` is possible.
   */
  readonly sharing?: Sharing
  /** Touch every page now, so that the first use does not. */
  readonly prefault?: boolean
  /** `'transparent'` asks for them, `'2MiB'` and `'1GiB'` take reserved ones and fail (`ENOMEM`) without. */
  readonly hugePages?: 'transparent' | HugePages
}

export interface PoolOptions extends AllocateOptions {
  readonly byteLength: number
  /** How many. All of them are allocated at once. */
  readonly buffers: number
}

const allocateOptions = ['name', 'sharing', 'prefault', 'hugePages'] as const
const poolOptions = [...allocateOptions, 'byteLength', 'buffers'] as const

/**
 * The exporter of ordinary memory, as /dev/dma_heap/system is in the kernel (drivers/dma-buf/heaps/system_heap.c):
 * sealed, preallocated, zeroed memfds. Needs no device and no privilege.
 */
export class SystemHeap {
  readonly name = 'system'

  /**
   * Allocates a buffer; the caller closes it. `byteLength` is from 1 byte up; storage is whole pages, the size asked
   * for is kept. Errors: `EDQUOT` beyond the memory budget, `ENOSPC`/`ENOMEM` without memory, `EMFILE`.
   */
  async allocate(byteLength: number, allocateOpts?: AllocateOptions): Promise<DmaBuf> {
    return this.allocateSync(byteLength, allocateOpts)
  }

  /** As {@link allocate}, at once. */
  allocateSync(byteLength: number, allocateOpts?: AllocateOptions): DmaBuf {
    const opts = options('allocate', allocateOpts, allocateOptions)
    const spec = specOf(byteLength, opts)
    const { storage, mapping } = allocateStorage(spec)
    return wrap(
      exporterCore({
        ...storage,
        name: spec.name,
        exporterName: this.name,
        ops: { release: () => {} },
        ...(mapping === undefined ? {} : { mapping }),
      }),
    )
  }

  /** A pool of buffers that come back when nobody has them any more; the caller closes it. */
  async pool(poolOpts: PoolOptions): Promise<BufferPool> {
    const opts = options('pool', poolOpts, poolOptions)
    const buffers = integer('buffers', opts.buffers, 1, limits.maxPoolBuffers)
    return new BufferPool(this.name, specOf(opts.byteLength, opts), buffers)
  }
}

function specOf(byteLength: unknown, opts: AllocateOptions): HeapSpec {
  return {
    byteLength: integer('byteLength', byteLength, 1),
    name: text('name', opts.name ?? '', limits.maxNameBytes),
    sharing: oneOf('sharing', opts.sharing ?? 'writable', ['writable', 'read-only']),
    prefault: boolean('prefault', opts.prefault ?? false),
    hugePages:
      opts.hugePages === undefined
        ? undefined
        : oneOf('hugePages', opts.hugePages, ['transparent', '2MiB', '1GiB']),
  }
}
