/** `move.ts CORE SECONDS SIZE`: what moving a buffer costs beside copying as many bytes, in a process of its own. */
import { SystemHeap } from '../../dist/index.js'
import { dropMovedStorage, prepareMovedStorage } from '../../dist/memory/moved-storage.js'
import { MapKind } from '../../dist/native/addon.js'
import { addon } from '../../dist/native/load.js'
import { figures } from '../lib/micro.ts'
import { pinSelf } from '../lib/pin.ts'
import type { Moves } from '../types.ts'
import { Commuter } from './commuter.ts'

const FEWEST = 5
/** Copies go round: a move's new storage was not in use a moment ago either. */
const COPIES = 4

const heap = new SystemHeap()

/** Microseconds of putting the pages of one mapping in the place of another's, all of them populated. */
function takeOver(size: number): number {
  using buffer = heap.allocateSync(size, { prefault: true })
  const mapping = addon().map(buffer.fd, 0, size, MapKind.shared)
  const next = prepareMovedStorage('', size, 'writable')
  if (typeof mapping === 'number' || next.mapping === undefined) throw new Error('no mapping')
  mapping.populate(true)
  mapping.view()
  const from = performance.now()
  const result = mapping.takeOver(next.mapping)
  const time = performance.now() - from
  if (result !== 0) throw new Error(`takeOver: ${result}`)
  mapping.close()
  dropMovedStorage(next)
  return time * 1000
}

const [core = '0', seconds = '1', bytes = '25165824'] = process.argv.slice(2)
const size = Number(bytes)
pinSelf(Number(core))
const round = Array.from({ length: COPIES }, () => heap.allocateSync(size, { prefault: true }))
const held = round.map((buffer) => buffer.beginCpuAccessSync('write'))
for (const { bytes } of held) bytes.fill(1)
using prepared = await Commuter.of(size, true)
using fresh = await Commuter.of(size, false)
const samples = {
  copy: [] as number[],
  prepared: [] as number[],
  fresh: [] as number[],
  takeOver: [] as number[],
}
const until = performance.now() + Number(seconds) * 1000
// In turns, so that a disturbance meets all of them.
for (let i = 0; i < FEWEST || performance.now() < until; i++) {
  const from = performance.now()
  held[(i + 1) % COPIES]!.bytes.set(held[i % COPIES]!.bytes)
  samples.copy.push((performance.now() - from) * 1000)
  samples.prepared.push(await prepared.move())
  samples.fresh.push(await fresh.move())
  samples.takeOver.push(takeOver(size))
}
for (const cpu of held) cpu.end()
for (const buffer of round) buffer.close()
const moves: Moves = {
  size,
  copy: figures(samples.copy),
  prepared: figures(samples.prepared),
  fresh: figures(samples.fresh),
  takeOver: figures(samples.takeOver),
}
process.send?.(moves)
