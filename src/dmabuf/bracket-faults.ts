import type { BufferCore } from './buffer-core.ts'

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

const none: BracketFaults = Object.freeze({
  unended: 0,
  endedTwice: 0,
  overlapping: 0,
  conflicting: 0,
  leftMapped: 0,
})
const counted = new WeakMap<BufferCore, { -readonly [fault in BracketFault]: number }>()
const warned = new WeakSet<BufferCore>()

export function bracketFaults(core: BufferCore): BracketFaults {
  return { ...(counted.get(core) ?? none) }
}

/** Counts a fault and, outside production, warns of the first one of each buffer: as vb2 prints UNBALANCED. */
export function countFault(core: BufferCore, fault: BracketFault, details: string, count = 1): void {
  let counts = counted.get(core)
  if (counts === undefined) {
    counts = { ...none }
    counted.set(core, counts)
  }
  counts[fault] += count
  if (details === '' || process.env['NODE_ENV'] === 'production' || warned.has(core)) return
  warned.add(core)
  const name = core.name === '' ? `buffer ${core.id}` : `buffer '${core.name}' (${core.id})`
  process.emitWarning(`${name}: ${details}`, { type: 'DmaBufWarning', code: 'DMABUF_BRACKET' })
}
