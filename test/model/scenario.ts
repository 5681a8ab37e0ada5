/** What a holder does, one thing after the other. */
export type Action =
  /** Says on its private connection that it has the buffer. */
  | 'register'
  | 'read'
  | 'write'
  /** A write bracket with a read bracket inside. */
  | 'nested'
  /** A write bracket begun by the `Sync` twin: `EAGAIN` instead of waiting. */
  | 'try'
  /** A write bracket that does not end before the exporter has tried to move. */
  | 'sit'
  /** Passes the buffer on to the next holder, with the storage it has as a fallback. */
  | 'forward'
  /** Waits for a forwarded buffer, then knocks. */
  | 'receive'
  /** Lets go of the buffer, and counts another one's brackets in the slot that is free now. */
  | 'release'

export interface HolderPlan {
  readonly actions: readonly Action[]
  /** Registered, and given the storage, before anything begins; true. */
  readonly registered?: boolean
}

/** Who takes part and what can happen to them. */
export interface Scenario {
  readonly holders: readonly HolderPlan[]
  /** Moves that the exporter tries, one after the other. */
  readonly moves: number
  /** Whether there is storage from the beginning; true. */
  readonly placed?: boolean
  /** Who can be killed, at any step: holders by their number. */
  readonly mortal?: readonly (number | 'exporter')[]
  /** How many of them are killed at most; 1. */
  readonly kills?: number
  /** What the exporter does when a holder keeps it waiting for longer than moveTimeout; nothing by default. */
  readonly timeout?: 'abort' | 'evict'
  /** The exporter's own move of the contents can fail. */
  readonly copyFails?: boolean
  /** Messages that fit into the socket towards a holder that does not read. */
  readonly room?: number
  /** Write brackets of the exporter itself. */
  readonly ownBrackets?: number
}

/** One thing left out of the protocol, or done the other way. */
export type Omission =
  | 'no fence in begin'
  | 'no fence in the exporter'
  | 'no fence in end'
  | 'end does not look at the flag'
  | 'generation read before the counter is raised'
  | 'descriptor sent after the generation is published'
  | 'a nested begin backs off'
  | 'a holder that has not registered'
  | 'a holder does not watch the hang-up'
  | 'a registration is answered in the middle of a move'
  // Beyond the list of docs/protocol.md.
  | 'the exporter does not watch the hang-up'
  | 'a begin that backs off does not tell'
  | 'a begin that backs off lets the event loop turn before it waits'
  | 'a holder without storage waits for GO'
  | 'the first storage is not followed by GO'
  | 'LOWERED is believed without another look'
  | 'a release does not wake the move'
  | 'the flag falls before the generation is published'
  | 'an aborted move keeps its number'
  | 'GO is not sent after an abort'
  | 'only the newest storage is kept'
  | 'a reset is taken for the end'
  | 'a drain stops at the storage it looks for'
  | 'the fallback is used whatever its generation'
  | 'an evicted holder is dropped before the commit'
  | 'an evicted holder is told after the commit'
