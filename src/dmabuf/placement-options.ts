import { boolean, integer, oneOf } from '../internal/validate.ts'
import { FIXED_POLICY, type PlacementPolicy } from './placement.ts'

/** What an exporter says of the moves of a buffer. */
export interface PlacementOptions {
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

export const placementOptions = ['lateAttach', 'moveTimeout', 'evict', 'prepareMove'] as const

export function checkPolicy(movable: boolean, opts: PlacementOptions): PlacementPolicy {
  return {
    movable,
    lateAttach: oneOf('lateAttach', opts.lateAttach ?? FIXED_POLICY.lateAttach, ['migrate', 'busy']),
    moveTimeout: integer('moveTimeout', opts.moveTimeout ?? FIXED_POLICY.moveTimeout, 0, 2 ** 31 - 1),
    evict: boolean('evict', opts.evict ?? FIXED_POLICY.evict),
    prepareMove: boolean('prepareMove', opts.prepareMove ?? FIXED_POLICY.prepareMove),
  }
}
