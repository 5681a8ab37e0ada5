import type { DmaBufError } from '../internal/errors.ts'

/**
 * What stands between a CPU access and the storage of a placed buffer, which may not be there yet, or be on the move
 * (docs/protocol.md, "Placed buffers"). The exporter's environment has one implementation of it and each holder's another;
 * a fixed buffer has none.
 */
export interface Entry {
  /** Why the buffer can be entered no more, not even by a bracket inside another. */
  readonly lost?: DmaBufError | undefined
  /**
   * Steps B3 and B4, after the count of brackets was raised from zero: whether the storage is there, at rest, and
   * mapped. When not, the caller lowers the count again (and calls {@link lowered}).
   */
  admit(): boolean
  /** Steps B6 and E2, after the count was lowered: whoever moves the buffer may be waiting for that. */
  lowered(): void
  /** Resolves when {@link admit} is worth asking again; rejects when it never will be, or when aborted. */
  passable(signal: AbortSignal | undefined): Promise<void>
  /** From now on the buffer does not move; resolves when its storage is there. */
  fix(): Promise<void>
  /** As {@link fix}, at once; false where something has to be waited for. */
  fixSync(): boolean
}
