/**
 * What a device can do with memory: the kernel's `dma_mask` and `device_dma_parameters` (include/linux/device.h), and the
 * number of segments, which the kernel knows only in its block layer.
 */
export interface DmaConstraints {
  /** Highest address that the device reaches, inclusive. */
  readonly dmaMask: bigint
  /** Bytes that every segment but the last must have at least; 1. */
  readonly minSegmentSize: number
  /** Bytes that a segment may have at most; longer ones are split. */
  readonly maxSegmentSize: number
  /** No segment may cross a multiple of this value plus one; longer ones are split there. */
  readonly segmentBoundaryMask: bigint
  /** Segments of one table at most; 1 means contiguous memory. */
  readonly maxSegments: number
}

export const unconstrained: DmaConstraints = Object.freeze({
  dmaMask: 2n ** 64n - 1n,
  minSegmentSize: 1,
  maxSegmentSize: Number.MAX_SAFE_INTEGER,
  segmentBoundaryMask: 2n ** 64n - 1n,
  maxSegments: Number.MAX_SAFE_INTEGER,
})

/** Which rule of a device a piece of memory breaks; `error.rule` of a refusal. */
export type DmaRule =
  | 'contiguous'
  | 'segment-size'
  | 'segment-count'
  | 'boundary'
  | 'address-range'
  | 'size'
  | 'stride'
  | 'modifier'

/** A run of (simulated) physical memory. Addresses lie below 2^52, so that numbers hold them exactly. */
export interface Segment {
  readonly address: number
  readonly length: number
}

/** Why memory does not suit a device: the rule, what it asks for, and what was there. */
export interface Refusal {
  readonly rule: DmaRule
  readonly needed: string
  readonly got: string
}

/** Transfer directions, as the kernel's `enum dma_data_direction`. */
export type DmaDirection = 'to-device' | 'from-device' | 'bidirectional'
