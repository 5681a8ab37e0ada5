/** One fence of a sync file, as `SYNC_IOC_FILE_INFO` tells of it. */
export interface SyncFenceInfo {
  readonly driverName: string
  readonly timelineName: string
  /** 1 signalled, 0 pending, or the negative errno. */
  readonly status: number
  /** Nanoseconds of CLOCK_MONOTONIC; `0n` while pending. */
  readonly timestamp: bigint
}
