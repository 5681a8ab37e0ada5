import type { Fence } from '../sync/fence.ts'
import { leavesOf, mergeFences } from '../sync/merge.ts'
import { Reservation, usageToWaitFor } from '../sync/reservation.ts'
import type { Access } from './access.ts'

/** Where the fences of a buffer are kept: with its exporter, in this environment or behind a door. */
export interface FenceHost {
  /** Whether this access may have to wait: asked before each bracket, so it sends no message. */
  pending(access: Access): boolean
  /** The exporter is or may be alive, but cannot be asked: only {@link pending} tells. */
  readonly cut: boolean
  /** Finds out whether it is alive, if that can be found out. */
  askAlive(): Promise<void>
  /** Everything that this access has to wait for, as of now; a signalled fence when that is nothing. */
  exportFence(access: Access, signal: AbortSignal | undefined): Promise<Fence>
  /** Adds fences of an access that goes on: everybody who comes later waits for them. */
  importFence(fence: Fence, access: Access): Promise<void>
}

/** In the exporter's environment. */
export class LocalFences implements FenceHost {
  readonly reservation: Reservation
  readonly cut = false

  /** `changed` is called when {@link word} may have changed. */
  constructor(changed: () => void) {
    this.reservation = new Reservation(changed)
  }

  async askAlive(): Promise<void> {}

  pending(access: Access): boolean {
    return !this.reservation.isSignalled(usageToWaitFor(access))
  }

  async exportFence(access: Access): Promise<Fence> {
    return mergeFences(...this.reservation.fences(usageToWaitFor(access)))
  }

  async importFence(fence: Fence, access: Access): Promise<void> {
    for (const leaf of leavesOf(fence)) this.reservation.add(leaf, access === 'read' ? 'read' : 'write')
  }

  /** As holders see it in the state record. */
  get word(): number {
    const readers = this.pending('read') ? FENCES_FOR_READERS : 0
    const writers = this.pending('write') ? FENCES_FOR_WRITERS : 0
    return readers | writers
  }
}

/** Bits of `StateRecord.fences`: readers have to wait, writers have to wait. */
export const FENCES_FOR_READERS = 1
export const FENCES_FOR_WRITERS = 2
