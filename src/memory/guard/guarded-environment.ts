import { writeSync } from 'node:fs'
import { isMainThread, threadId } from 'node:worker_threads'
import { errno } from '../../internal/errors.ts'
import { type Poll, READABLE, ViolationWord } from '../../native/addon.ts'
import { addon } from '../../native/load.ts'
import { beforeSignals } from './before-signals.ts'
import { guardPolicy } from './guard-policy.ts'
import { framesOf, site } from './stacks.ts'
import type { Violation, ViolationGroup } from './violation.ts'
import { ViolationLog } from './violation-log.ts'
import { violationReport } from './violation-report.ts'

/** Exit status of a process that a violation ended: EX_SOFTWARE of sysexits(3). */
export const GUARD_EXIT_STATUS = 70

/** A touch as the fault handler recorded it; the offset counts from the first byte of the mapping. */
export interface Touch {
  readonly offset: number
  readonly kind: Violation['kind']
  readonly thread: string
  readonly threadNumber: number
  readonly at: number
  readonly approximateStack: string | undefined
}

/** Whose mapping it is. */
export interface Guarding {
  violated(touch: Touch): void
  /** The turn of the loop is over: only what brackets allow may be touched again. The same function for all of a buffer. */
  readonly restrict: () => void
  /** The fault handler is not ours any more. */
  giveUp(): void
}

const kinds = ['unknown', 'read', 'write'] as const
const words = new Float64Array(64 * ViolationWord.words)
const log = new ViolationLog()
const guarding = new Map<number, Guarding>()
/** Of the buffers that were opened since the end of the last turn. */
const tripped = new Set<() => void>()
let serial = 0
let poll: Poll | undefined
let hooked = false
let givenUp = false
let lostBefore = 0

/** Violations of this environment so far, alike ones counted together. */
export function violations(): ViolationGroup[] {
  takeViolations('turn')
  return log.groups
}

/** A number for one mapping, under which the fault handler records. */
export function enroll(guard: Guarding): number {
  if (poll === undefined) listen()
  guarding.set(++serial, guard)
  return serial
}

/** What the mapping has to tell still comes to its guard. */
export function leave(token: number): void {
  takeViolations('turn')
  guarding.delete(token)
  if (guarding.size > 0) return
  poll?.close()
  poll = undefined
  tripped.clear()
}

/** Hands out what the fault handler has recorded: before anything changes that it is to be judged by. */
export function takeViolations(noticed: 'bracket' | 'turn'): void {
  if (guarding.size === 0) return
  for (;;) {
    const count = addon().takeViolations(words)
    if (count === 0) return
    const approximateStack = noticed === 'bracket' ? framesOf(site()) : undefined
    for (let index = 0; index < count; index++) hand(index * ViolationWord.words, approximateStack)
  }
}

function hand(base: number, approximateStack: string | undefined): void {
  const guard = guarding.get(words[base + ViolationWord.token] ?? 0)
  if (guard === undefined) return
  const threadNumber = words[base + ViolationWord.thread] ?? 0
  const since = Number(process.hrtime.bigint()) - (words[base + ViolationWord.nanoseconds] ?? 0)
  tripped.add(guard.restrict)
  guard.violated({
    offset: words[base + ViolationWord.offset] ?? 0,
    kind: kinds[words[base + ViolationWord.touch] ?? 0] ?? 'unknown',
    thread: threadNumber === addon().threadNumber() ? threadName() : 'native thread',
    threadNumber,
    at: performance.now() - since / 1e6,
    approximateStack,
  })
}

export function record(violation: Violation, fatal: boolean): void {
  log.add(violation)
  // A program that never goes wrong keeps the signals as they are.
  if (log.total === 1) beforeSignals(reportAtEnd)
  if (!fatal) return
  writeReport()
  addon().exitNow(GUARD_EXIT_STATUS)
}

/**
 * For a result of `guard` or `allow`. Without the fault handler a touch would be repeated for ever, so nothing is guarded any
 * more; at the limit of mappings the one that could not be cut up is open for once.
 */
export function checkGuarded(result: number): void {
  if (result === -errno.EDEADLK) giveUp()
}

function giveUp(): void {
  for (const guard of [...guarding.values()]) guard.giveUp()
  if (givenUp) return
  givenUp = true
  process.emitWarning('Another handler for SIGSEGV stands before that of dmabuf: nothing is guarded.', {
    code: 'DMABUF_GUARD',
  })
}

function listen(): void {
  const native = addon()
  const event = native.violationEvent()
  if (event >= 0) {
    poll = new native.Poll(event, endOfTurn)
    poll.start(READABLE)
    poll.unref()
  }
  if (hooked) return
  hooked = true
  // It would be called for ever by the first violation.
  process.on('newListener', (event) => {
    if (event === 'SIGSEGV') giveUp()
  })
  process.on('exit', reportAtEnd)
}

function reportAtEnd(): void {
  takeViolations('turn')
  if (guardPolicy().report && log.total > 0) writeReport()
}

function endOfTurn(): void {
  const native = addon()
  native.quietViolations()
  takeViolations('turn')
  const lost = native.lostViolations()
  // Of whom these were is not known, but they are open.
  if (lost !== lostBefore) for (const { restrict } of guarding.values()) tripped.add(restrict)
  lostBefore = lost
  const open = [...tripped]
  tripped.clear()
  for (const restrict of open) restrict()
}

function writeReport(): void {
  const { groups, total, ungrouped } = log
  const lost = addon().lostViolations()
  const text = violationReport({ pid: process.pid, thread: threadName(), groups, total, ungrouped, lost })
  try {
    writeSync(2, text)
  } catch {
    // Nobody reads it.
  }
}

function threadName(): string {
  return isMainThread ? 'main' : `worker ${threadId}`
}
