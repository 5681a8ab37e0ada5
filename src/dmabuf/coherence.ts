import type { DmaDirection } from '../dma/constraints.ts'
import type { CacheHints } from '../memory/cache/maintenance.ts'
import type { SequenceWord } from '../native/addon.ts'
import type { Access } from './access.ts'

/**
 * What CPUs and devices see of one another's stores. `'coherent'`: everything, at once. `'non-coherent'`: CPUs see each
 * other's, devices have to be synchronised with, as on hardware whose DMA goes past the caches. `'strict'`: every process
 * (environment) sees what was there when its bracket began, and shows what it stored when it ends: the contract itself.
 */
export type Coherency = 'coherent' | 'non-coherent' | 'strict'

/** Whose bracket it is: its wrapper's lease. */
export type BracketOwner = object

/** What lies between the CPU's views and the storage of a buffer; a coherent one has nothing there. */
export interface Coherence {
  readonly coherency: Coherency
  /** JavaScript sees the shared pages themselves. */
  readonly zeroCopy: boolean
  /** Bytes of the file behind the buffer. */
  readonly fileBytes: number
  /** This environment's own copy of a range, where views are not of the shared pages; whoever shows it holds it. */
  show(offset: number, length: number): Uint8Array | undefined
  begin(access: Access, offset: number, length: number, hints: CacheHints, owner: BracketOwner): void
  end(access: Access, offset: number, length: number, hints: CacheHints, owner: BracketOwner): void
  /** The owner is closed, its brackets with it. */
  abandon(owner: BracketOwner): void
  /** A device has a table from now on. */
  mapped(direction: DmaDirection, coherent: boolean, hints: CacheHints): void
  unmapped(direction: DmaDirection, coherent: boolean, hints: CacheHints): void
  /** A device's access; as `TableMemory.access`. */
  device(
    kind: 'read' | 'write',
    coherent: boolean,
    offset: number,
    length: number,
    use: (bytes: Uint8Array) => void,
  ): void
  /** Lets the adversary of a non-coherent buffer act. */
  tick(): void
  /** The buffer has other storage. */
  storageChanged(): void
  /** A range of the copy is shown no more. */
  hide(offset: number, length: number): void
  /** Copies what views show; whether it is known to be of one moment. Only where that is not the storage. */
  copyOut?:
    | ((target: Uint8Array, offset: number, sequences: readonly SequenceWord[] | undefined) => boolean)
    | undefined
  /** Views show what is in the storage now, wherever nothing is being written. */
  refresh(): void
  /** Views go. */
  unmap(): void
}
