import type { BufferCore } from './buffer-core.ts'
import { Slot } from './words.ts'

/** What went wrong with the brackets of one buffer in this environment; `bufinfo()` shows it. */
export interface BracketFaults {
  /** Begun and never ended: `close()`, or the collector, had to. */
  readonly unended: number
  /** `end()` came again. It did nothing, but whoever called it did not know who ends the bracket. */
  readonly endedTwice: number
  /** Write brackets begun here while another one of this environment was open. They nest: no mistake by itself. */
  readonly overlapping: number
  /** Write brackets begun here while the exporter, or (in the exporter) a holder, had one open. */
  readonly conflicting: number
  /** Pages and vmaps that were not unmapped: at the end of the bracket, or when the buffer was closed. */
  readonly leftMapped: number
}

export type BracketFault = keyof BracketFaults

const MOST = 2 ** 32 - 1

/** The order of their words in a slot of a holder segment. */
const order: readonly BracketFault[] = ['unended', 'endedTwice', 'overlapping', 'conflicting', 'leftMapped']

export const noFaults: BracketFaults = Object.freeze({
  unended: 0,
  endedTwice: 0,
  overlapping: 0,
  conflicting: 0,
  leftMapped: 0,
})
const counted = new WeakMap<BufferCore, { -readonly [fault in BracketFault]: number }>()
const warned = new WeakSet<BufferCore>()

/** Reads them from words in their order; what a stranger counts is shown as it is. */
export function faultsFrom(word: (index: number) => number): BracketFaults {
  const counts = { ...noFaults }
  for (const [index, fault] of order.entries()) Object.assign(counts, { [fault]: word(index) })
  return counts
}

/** As words in their order. */
export function countsOf(faults: BracketFaults): number[] {
  return order.map((fault) => faults[fault])
}

export function sumOf(a: BracketFaults, b: BracketFaults): BracketFaults {
  const counts = countsOf(b)
  return faultsFrom((index) => Math.min((countsOf(a)[index] ?? 0) + (counts[index] ?? 0), MOST))
}

export function bracketFaults(core: BufferCore): BracketFaults {
  return { ...(counted.get(core) ?? noFaults) }
}

/** From now on nobody is warned of this buffer: its brackets were left as they are on purpose. */
export function neverWarn(core: BufferCore): void {
  warned.add(core)
}

/** Counts a fault and, outside production, warns of the first one of each buffer: as vb2 prints UNBALANCED. */
export function countFault(core: BufferCore, fault: BracketFault, details: string, count = 1): void {
  let counts = counted.get(core)
  if (counts === undefined) {
    counts = { ...noFaults }
    counted.set(core, counts)
  }
  counts[fault] = Math.min(counts[fault] + count, MOST)
  if (!core.destroyed) {
    // The exporter reads it there.
    core.slot.store(core.slotBase + Slot.faults + order.indexOf(fault), counts[fault])
  }
  if (details === '' || process.env['NODE_ENV'] === 'production' || warned.has(core)) return
  warned.add(core)
  const name = core.name === '' ? `buffer ${core.id}` : `buffer '${core.name}' (${core.id})`
  process.emitWarning(`${name}: ${details}`, { type: 'DmaBufWarning', code: 'DMABUF_BRACKET' })
}
