import type { Storage } from './storage.ts'

/**
 * The registered holders of a buffer in other environments, as its move sees them: steps M2 to M7 of docs/protocol.md,
 * "Move". A buffer that never left has none.
 */
export interface MoveAudience {
  /** The first storage of a buffer that had none: every holder is sent it, and nobody can be inside. */
  allocated(storage: Storage, generation: number): void
  /**
   * M2: the next generation's storage goes to every holder; resolves when it has left towards each, or that one is gone.
   * From here to {@link end}, which must follow whatever happens, nobody's registration is answered.
   */
  offer(storage: Storage, generation: number): Promise<void>
  /** M3: from now on no bracket is entered. */
  begin(): void
  /** M4: resolves when no holder is inside a bracket any more. */
  quiet(signal: AbortSignal): Promise<void>
  /**
   * M4, with `evict`: the move goes on without the holders that are still inside; in M2, without those that do not read what
   * they are sent. They are told, and dropped, by {@link commit}; a move that fails has left nobody behind.
   */
  evict(): void
  /** M6: the record names the new storage, and then the generation. */
  commit(storage: Storage, generation: number): void
  /** M7, and the end of an aborted move: brackets are entered again, with the storage of this generation. */
  end(generation: number): void
}
