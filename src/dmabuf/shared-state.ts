import type { SharedWords } from '../memory/shared-words.ts'
import type { BracketFaults } from './bracket-faults.ts'
import type { MoveAudience } from './move-audience.ts'

/** A process that holds a buffer of this exporter, as `bufinfo` shows it. */
export interface HolderInfo {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  readonly openBrackets: number
  readonly openWriteBrackets: number
  /** The storage that it maps, counted as the buffer's storages are; an old one stays as long as somebody maps it. */
  readonly generation: number
  /** What went wrong with its brackets so far. */
  readonly bracketFaults: BracketFaults
}

/** What the sharing layer knows of a buffer that has left this environment, or came to it. */
export interface SharedState {
  /** Words of the state segment and where the buffer's record begins in them. */
  readonly words: SharedWords
  readonly base: number
  /** Holders that registered; empty where this environment is itself a holder. */
  holders(): HolderInfo[]
  /** What went wrong with the brackets of holders that are gone; in the exporter's environment. */
  readonly formerFaults?: BracketFaults
  /** Whether somebody else is in a write bracket: in the exporter any holder, in a holder the exporter. */
  readonly othersWrite: boolean
  /** Tells every holder that the buffer is revoked. */
  revoke(): void
  /** Whether the exporter is still there (always so in the exporter). */
  readonly exporterAlive: boolean
  /** Who must be told of a move: only in the exporter's environment. */
  readonly audience?: MoveAudience | undefined
}
