import type { OpenRange } from './page-rights.ts'

/** What becomes of a violation: it is reported, or thrown by the next bracket of its buffer, or ends the process. */
export type GuardMode = 'report' | 'throw' | 'fatal'

/** A touch of a buffer's memory that no open bracket allowed. */
export interface Violation {
  /** The buffer's number in this environment (as in `bufinfo()`), its name, and whose it is. */
  readonly id: number
  readonly name: string
  readonly role: 'exporter' | 'holder'
  /** Byte of the buffer that was touched first. */
  readonly offset: number
  /** `'unknown'` where the processor does not tell. */
  readonly kind: 'read' | 'write' | 'unknown'
  /**
   * What was open in this environment for that byte: nothing (`'none'`), a read bracket that was written in (`'read'`), or
   * brackets of other pages only (`'elsewhere'`).
   */
  readonly bracket: 'none' | 'read' | 'elsewhere'
  /** All brackets that were open in this environment. */
  readonly brackets: readonly OpenRange[]
  /** `'main'`, `'worker 3'` (as worker_threads counts), or `'native thread'`: one that runs no JavaScript. */
  readonly thread: string
  /** The kernel's number of the thread. */
  readonly threadNumber: number
  /** When, on the clock of `performance.now()`. */
  readonly at: number
  /** The stack of the buffer's last begin and last end before it, in this environment. */
  readonly lastBegin: string | undefined
  readonly lastEnd: string | undefined
  /**
   * **Approximate**: not the line that touched the memory (that one is out of reach) but where it was noticed, which is the
   * next bracket of any guarded buffer in the same turn of the event loop. `undefined` when the turn was over by then.
   */
  readonly approximateStack: string | undefined
}

/** Violations that look alike: the same buffer name, kind and bracket between the same lines of the program. */
export interface ViolationGroup {
  /** The others may differ in offset, time and stacks further out. */
  readonly first: Violation
  /** How many of them there were, the first included. */
  readonly count: number
}

const did = { read: 'read', write: 'write', unknown: 'access' } as const
const where = {
  none: 'outside any bracket',
  read: 'in a read bracket',
  elsewhere: 'outside the range of its bracket',
} as const

/** `"write to buffer 'frame' in a read bracket, at byte 4096"` */
export function describeViolation({ kind, id, name, bracket, offset }: Violation): string {
  const preposition = kind === 'write' ? 'to' : 'of'
  const which = name === '' ? `${id} (unnamed)` : `'${name}'`
  return `${did[kind]} ${preposition} buffer ${which} ${where[bracket]}, at byte ${offset}`
}
