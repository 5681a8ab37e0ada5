import type { DmaDirection } from '../dma/constraints.ts'
import type { CacheHints } from '../memory/cache/maintenance.ts'
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
  /** This environment's own copy, where views are not of the shared pages. */
  readonly staged: Uint8Array | undefined
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
  /** The buffer has other storage with the same contents, or is about to be looked at anew. */
  storageChanged(): void
  /** Views go. */
  unmap(): void
}
