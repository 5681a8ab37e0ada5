/** Bytes of a page frame, and the least that addresses of whole pages are multiples of. */
export const PAGE_SIZE = 4096

/** The largest multiple of `unit` that is not larger. */
export function roundDown(value: number, unit: number): number {
  return value - (value % unit)
}

/** The least multiple of `unit` that is not smaller. */
export function roundUp(value: number, unit: number): number {
  return roundDown(value + unit - 1, unit)
}

/** An address or a mask as people read it: `0x1_2345_6000`. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16).replace(/\B(?=(.{4})+$)/g, '_')}`
}
