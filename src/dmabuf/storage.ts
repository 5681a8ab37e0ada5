import type { StorageKind } from '../memory/gate.ts'
import type { Sharing } from '../memory/seals.ts'
import type { Coherency } from './coherence.ts'

/** The memory behind a buffer: a range of a descriptor, and what may be done with it. */
export interface Storage {
  /** Owned by the buffer. */
  readonly fd: number
  /** Byte of the file at which the buffer begins. */
  readonly offset: number
  readonly byteLength: number
  readonly kind: StorageKind
  readonly sharing: Sharing
  /** Nobody has it yet, and its exporter decides later whether it becomes `'read-only'`. */
  readonly undecided?: boolean
  /** Whether this environment may write: everybody for `'writable'`, the exporter alone for `'read-only'`. */
  readonly writable: boolean
  /** Bytes taken from the memory budget, given back with the storage; 0 for memory of others. */
  readonly charged: number
  /** What CPUs and devices see of one another; coherent when not said. */
  readonly coherency?: Exclude<Coherency, 'coherent'>
}
