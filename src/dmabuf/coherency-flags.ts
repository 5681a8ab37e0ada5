import type { Coherency } from './coherence.ts'
import { RecordFlag } from './words.ts'

/** The bit of a record that says what a buffer is; only its exporter can write it. */
export function coherencyFlag(coherency: Coherency | undefined): number {
  if (coherency === 'non-coherent') return RecordFlag.nonCoherent
  return coherency === 'strict' ? RecordFlag.strict : 0
}

export function coherencyOf(flags: number): Coherency {
  if ((flags & RecordFlag.nonCoherent) !== 0) return 'non-coherent'
  return (flags & RecordFlag.strict) !== 0 ? 'strict' : 'coherent'
}
