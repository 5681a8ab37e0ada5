import { FIXED_POLICY, type PlacementPolicy } from '../dmabuf/placement.ts'
import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { boolean, integer, oneOf, options, text } from '../internal/validate.ts'
import { checkMode } from '../memory/guard/guard-policy.ts'
import type { GuardMode } from '../memory/guard/violation.ts'
import type { HugePages } from '../memory/memfd.ts'
import type { Sharing } from '../memory/seals.ts'
import type { HeapSpec } from './heap-storage.ts'

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
  /** `'transparent'` asks for them, `'2MiB'` and `'1GiB'` take reserved ones and fail (`ENOMEM`) without. Not movable. */
  readonly hugePages?: 'transparent' | HugePages
  /** Guarded mode in this environment, see `guard()`; default: as that says. */
  readonly guard?: GuardMode | 'off'
  /**
   * The storage may move to where a device reaches it, contents and views kept: a *placed* buffer. Default false: it stays
   * where it is for good, and any program that gets its descriptor can map it.
   */
  readonly movable?: boolean
  /** Allocate at the first map or CPU access, for all devices that are attached by then. Default: as `movable`. */
  readonly delayed?: boolean
  /**
   * What becomes of a device that attaches when the storage is somewhere it cannot use: `'migrate'` (default) moves
   * it at the device's first map, `'busy'` refuses the attachment (`EBUSY`). For movable buffers.
   */
  readonly lateAttach?: 'migrate' | 'busy'
  /** Milliseconds that a move waits for brackets and maps to end before it fails (`EBUSY`); 1000. */
  readonly moveTimeout?: number
  /** Leave a holder behind that stays in its bracket for longer (its next use says ERR_DMABUF_EVICTED); false. */
  readonly evict?: boolean
  /** Keep memory ready for the next move, so that this one costs a plain copy; takes twice the memory. Default false. */
  readonly prepareMove?: boolean
}

const placementOptions = ['movable', 'delayed', 'lateAttach', 'moveTimeout', 'evict', 'prepareMove'] as const
const storageOptions = ['name', 'sharing', 'prefault', 'hugePages', 'guard'] as const
export const allocateOptions = [...storageOptions, ...placementOptions] as const
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
    policy: {
      movable,
      lateAttach: oneOf('lateAttach', opts.lateAttach ?? FIXED_POLICY.lateAttach, ['migrate', 'busy']),
      moveTimeout: integer('moveTimeout', opts.moveTimeout ?? FIXED_POLICY.moveTimeout, 0, 2 ** 31 - 1),
      evict: boolean('evict', opts.evict ?? FIXED_POLICY.evict),
      prepareMove: boolean('prepareMove', opts.prepareMove ?? FIXED_POLICY.prepareMove),
    },
  }
}

export function specOf(byteLength: unknown, opts: AllocateOptions): HeapSpec {
  return {
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
