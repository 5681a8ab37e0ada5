/** Somebody to whom the storage of a buffer was given: a channel it was sent on, a holder that registered. */
export interface Reader {
  /** Gone: closed or dead. It may have kept its mapping. */
  readonly ended: boolean
  readonly uid: number
}
