import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import {
  HOLDER_SEGMENT_BYTES,
  RECORD_WORDS,
  SLOT_WORDS,
  Slot,
  STATE_SEGMENT_BYTES,
  StateRecord,
} from '../../src/dmabuf/words.ts'
import { createSegment, mapSegment } from '../../src/memory/segment.ts'
import type { SharedWords } from '../../src/memory/shared-words.ts'

/**
 * One of two processes that meet again and again at the two words on which brackets and moves agree: the exporter's
 * `moving` and the holder's `count`, each in a page that only its writer can write. In each round both raise their own
 * word and then look at the other's; who finds that one down is in. Tells how often both were.
 */
export interface LitmusOrder {
  readonly side: 'exporter' | 'holder'
  /** `fenced`: as the library does it. `plain`: without the fences, which hardware answers with hits. */
  readonly stores: 'fenced' | 'plain'
  readonly rounds: number
  /** Ends sooner when it has taken that long. */
  readonly milliseconds: number
}

export interface LitmusResult {
  readonly rounds: number
  readonly both: number
  /** The first round in which both were in; 0 for none. */
  readonly first: number
}

/** Words far from those that are tested, in cache lines of their own. */
const ROUND = 256
const LAST = 288
/** By parity of the round: whether this side was in. */
const IN = [320, 336] as const

/** Turns of the waiting loop after which the other side is taken to be off its processor. */
const PATIENCE = 50_000

const { side, stores, rounds, milliseconds } = JSON.parse(process.argv[2] ?? '') as LitmusOrder
const leads = side === 'exporter'
const bytes = { exporter: STATE_SEGMENT_BYTES, holder: HOLDER_SEGMENT_BYTES }
const moving = RECORD_WORDS + StateRecord.moving
const count = SLOT_WORDS + Slot.count

const own = createSegment('litmus', bytes[side])
process.send?.({ pid: process.pid, fd: own.fd })
const [theirs] = (await once(process, 'message')) as [{ pid: number; fd: number }]
const fd = openSync(`/proc/${theirs.pid}/fd/${theirs.fd}`, 'r')
const other = mapSegment(fd, bytes[leads ? 'holder' : 'exporter'])
closeSync(fd)

function arrayOf({ source }: SharedWords): Uint32Array {
  if (source instanceof Uint32Array) return source
  throw new Error('the words are not in an ArrayBuffer')
}

const raiseMoving = (mine: Uint32Array, round: number) => Atomics.store(mine, moving, round)
const raiseCount = (mine: Uint32Array) => Atomics.add(mine, count, 1)
const raisePlainly = (mine: Uint32Array, round: number) => {
  mine[leads ? moving : count] = round
}

function meet(mine: Uint32Array, their: Uint32Array): LitmusResult {
  const raise = stores === 'plain' ? raisePlainly : leads ? raiseMoving : raiseCount
  const theirWord = leads ? count : moving
  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  const deadline = performance.now() + milliseconds
  let both = 0
  let first = 0
  let entered = false
  for (let round = 1; ; round++) {
    // Together, and with what came of the round before.
    mine[IN[(round - 1) & 1]!] = entered ? 1 : 0
    if (leads && (round === rounds || (round % 256 === 0 && performance.now() > deadline))) mine[LAST] = round
    Atomics.store(mine, ROUND, round)
    for (let turns = 1; Atomics.load(their, ROUND) < round; turns++) {
      if (turns % PATIENCE === 0) Atomics.wait(sleeper, 0, 0, 1)
    }
    if (entered && their[IN[(round - 1) & 1]!] === 1) {
      both++
      if (first === 0) first = round - 1
    }
    const last = (leads ? mine : their)[LAST]!
    if (last !== 0 && round >= last) return { rounds: round - 1, both, first }
    // Now one is a little ahead, now the other.
    for (let turns = leads ? round & 15 : (round >> 4) & 15; turns > 0; turns--) Atomics.load(sleeper, 0)
    // The words count rounds, so that they need not be lowered: below this round's number, one is down.
    raise(mine, round)
    const seen = stores === 'plain' ? their[theirWord]! : Atomics.load(their, theirWord)
    entered = seen < round
  }
}

process.send?.(meet(arrayOf(own.words), arrayOf(other.words)))
process.disconnect()
