/** What lies at a range of addresses; inode 0: no file. */
export interface MappedFile {
  readonly start: number
  readonly end: number
  /** Byte of the file at `start`. */
  readonly offset: number
  readonly deviceLow: number
  readonly deviceHigh: number
  readonly inodeLow: number
  readonly inodeHigh: number
  readonly readable: boolean
  readonly writable: boolean
  readonly shared: boolean
}

/** Memory of this process whose pages lie, or are going to lie, in a memfd. */
export interface Vmem {
  /** `mlock(2)` of the file's pages: `-ENOMEM` or `-EPERM` beyond RLIMIT_MEMLOCK. */
  lock(): number
  /** Touches the file's pages. */
  populate(): number
  /**
   * Exchanges the pages; all is as before when it fails. `-EBUSY` when some of them are exported already, `-EDEADLK` when
   * writers could not be made to wait.
   */
  share(fd: number): number
  /** Carries the bytes on partial pages over, in both directions. The memory must still be there. */
  step(): void
  /**
   * Private pages with the contents of this moment, inaccessible from `accessible` bytes of the live pages on. The memory
   * must still be there. May be tried again when it fails.
   */
  end(accessible: number): number
  /** The memory is not there any more, or out of reach: it is left alone from now on. */
  abandon(): void
}
