import type { Coherency } from '../dmabuf/coherence.ts'
import type { PlacementPolicy } from '../dmabuf/placement.ts'
import { checkPolicy, type PlacementOptions, placementOptions } from '../dmabuf/placement-options.ts'
import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { boolean, integer, oneOf, options, text } from '../internal/validate.ts'
import { DEFAULT_LINE_SIZE, isLineSize, LEAST_LINE_SIZE, MOST_LINE_SIZE } from '../memory/cache/layout.ts'
import { checkMode } from '../memory/guard/guard-policy.ts'
import type { GuardMode } from '../memory/guard/violation.ts'
import type { HugePages } from '../memory/memfd.ts'
import type { Sharing } from '../memory/seals.ts'
import type { HeapSpec } from './heap-storage.ts'

export interface AllocateOptions extends PlacementOptions {
  /** Shown in `bufinfo`, in /proc and to every holder; at most 31 bytes. */
  readonly name?: string
  /**
   * `'writable'` (default): whoever has the buffer may write. `'read-only'`: only this environment ever can; the
   * kernel holds everybody else off (F_SEAL_FUTURE_WRITE), and `freeze()` is possible.
   */
  readonly sharing?: Sharing
  /** Touch every page now, so that the first use does not. */
  readonly prefault?: boolean
  /** `'transparent'` asks for them, `'2MiB'` and `'1GiB'` take reserved ones and fail (`ENOMEM`) without. Not movable. */
  readonly hugePages?: 'transparent' | HugePages
  /** Guarded mode in this environment, see `guard()`; default: as that says. */
  readonly guard?: GuardMode | 'off'
  /**
   * What CPUs and devices see of one another's stores. `'coherent'` (default): plain shared memory. `'non-coherent'`: what
   * hardware with DMA past the caches does; takes twice the memory and more. `'strict'`: every process has a copy that brackets
   * fill and write back. Both for finding missing and wrong brackets: docs/coherency.md.
   */
  readonly coherency?: Coherency
  /** Bytes of a cache line of a non-coherent buffer, a power of two from 16 to 4096; 64. */
  readonly lineSize?: number
  /**
   * Lets the caches of a non-coherent buffer evict and prefetch lines at moments (brackets, maps, DMA) that follow from this
   * number, 0 to 2^32 - 1; without it they never do.
   */
  readonly seed?: number
  /**
   * The storage may move to where a device reaches it, contents and views kept: a *placed* buffer. Default false: it stays
   * where it is for good, and any program that gets its descriptor can map it.
   */
  readonly movable?: boolean
  /** Allocate at the first map or CPU access, for all devices that are attached by then. Default: as `movable`. */
  readonly delayed?: boolean
}

const cacheOptions = ['coherency', 'lineSize', 'seed'] as const
const storageOptions = ['name', 'sharing', 'prefault', 'hugePages', 'guard', ...cacheOptions] as const
export const allocateOptions = [...storageOptions, 'movable', 'delayed', ...placementOptions] as const
/** Pooled buffers are fixed. */
export const pooledOptions = storageOptions

/** An allocation, its options checked. */
export interface AllocateRequest {
  readonly spec: HeapSpec
  readonly policy: PlacementPolicy
  readonly delayed: boolean
}

export function checkAllocate(
  byteLength: unknown,
  allocateOpts: AllocateOptions | undefined,
): AllocateRequest {
  const opts = options('allocate', allocateOpts, allocateOptions)
  const movable = boolean('movable', opts.movable ?? false)
  const spec = specOf(byteLength, opts)
  if (movable && spec.hugePages !== undefined) {
    throw problem('argument', { what: 'hugePages', expected: 'none with movable', received: spec.hugePages })
  }
  return {
    spec,
    delayed: boolean('delayed', opts.delayed ?? movable),
    policy: checkPolicy(movable, opts),
  }
}

export function specOf(byteLength: unknown, opts: AllocateOptions): HeapSpec {
  const coherency = checkCoherency(opts)
  return {
    ...coherency,
    byteLength: integer('byteLength', byteLength, 1),
    name: text('name', opts.name ?? '', limits.maxNameBytes),
    sharing: oneOf('sharing', opts.sharing ?? 'writable', ['writable', 'read-only']),
    prefault: boolean('prefault', opts.prefault ?? false),
    hugePages:
      opts.hugePages === undefined
        ? undefined
        : oneOf('hugePages', opts.hugePages, ['transparent', '2MiB', '1GiB']),
    guard: opts.guard === undefined ? undefined : checkMode(opts.guard),
  }
}

function checkCoherency(opts: AllocateOptions): Pick<HeapSpec, 'coherency' | 'lineSize' | 'seed'> {
  const coherency = oneOf('coherency', opts.coherency ?? 'coherent', ['coherent', 'non-coherent', 'strict'])
  const refuse = (option: string) => problem('cacheOptions', { coherency, option })
  if (coherency !== 'non-coherent') {
    if (opts.lineSize !== undefined) throw refuse('lineSize')
    if (opts.seed !== undefined) throw refuse('a seed')
    return { coherency, lineSize: DEFAULT_LINE_SIZE, seed: undefined }
  }
  if (opts.sharing === 'read-only') throw refuse("sharing 'read-only'")
  if (opts.hugePages !== undefined) throw refuse('hugePages')
  const lineSize = integer('lineSize', opts.lineSize ?? DEFAULT_LINE_SIZE, LEAST_LINE_SIZE, MOST_LINE_SIZE)
  if (!isLineSize(lineSize)) {
    throw problem('argument', { what: 'lineSize', expected: 'a power of two', received: lineSize })
  }
  const seed = opts.seed === undefined ? undefined : integer('seed', opts.seed, 0, 2 ** 32 - 1)
  return { coherency, lineSize, seed }
}
