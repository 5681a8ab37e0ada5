import type { DmaConstraints, Segment } from './constraints.ts'

/** (Simulated) physical pages under a buffer. */
export interface Pages {
  /** In the order of the buffer's bytes; whole pages. */
  readonly segments: readonly Segment[]
  /** Gives them back. Idempotent. */
  free(): void
}

/** Where an exporter takes the pages of its buffers from: a heap's memory, the memory of a graphics device. */
export interface PageSource {
  /**
   * Pages for `byteLength` bytes that suit the constraints; `ENOMEM` (problem `noPages`) when there are none. May take
   * its time: memory of a device can have to be emptied first.
   */
  allocate(byteLength: number, constraints: DmaConstraints): Pages | Promise<Pages>
}
