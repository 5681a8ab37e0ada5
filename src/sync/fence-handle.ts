/**
 * How a pending fence crosses to another environment: where its timeline stands in the page of whoever signals it, and one
 * end of a socket pair that hangs up when it signals. Both descriptors are borrowed.
 */
export interface FenceHandle {
  readonly page: number
  readonly end: number
  readonly slot: number
  /** Tells the timelines apart that have had this slot one after the other. */
  readonly contextLow: number
  readonly contextHigh: number
  readonly seqno: number
}
