/** What can be wrong, each in words that follow "somebody"; see also those of the checker itself. */

/** Mutual exclusion: no bracket is open while the contents are copied. */
export const DURING_COPY = 'is inside while the contents are copied'
/** Nobody enters with an old generation after the commit; survivors of the exporter agree on the last one. */
export const OLD_STORAGE = 'is inside with a storage that is not the present one'
/** What was stored in a bracket is there for whoever begins later. */
export const LOST_STORE = 'misses a store of a bracket that has ended'
/** Who was given storage can go on when the exporter is dead. */
export const DEPRIVED = 'survives the exporter without the last storage'
/** An aborted move burns its number. */
export const REUSED_NUMBER = 'gives a number twice'
/** Whose stores an eviction has lost hears of it before it enters again. */
export const SILENT_EVICTION = 'has lost its stores to an eviction, and enters without knowing'
