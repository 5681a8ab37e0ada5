/** `bracket.ts CORE SECONDS`: what beginning and ending CPU access costs, in a process of its own. */
import { type DmaBuf, SystemHeap } from '../../dist/index.js'
import { pinSelf } from '../lib/pin.ts'
import { median, quantile } from '../lib/stats.ts'
import type { BracketFigures, Brackets } from '../types.ts'

const BATCH = 10_000

/** Nanoseconds of one call of `once`: each sample is the mean of a batch, since one is below the clock's grain. */
function nanos(seconds: number, once: () => void): BracketFigures {
  const samples: number[] = []
  const until = performance.now() + seconds * 1000
  for (let i = 0; i < 10 * BATCH; i++) once()
  while (performance.now() < until || samples.length < 3) {
    const from = performance.now()
    for (let i = 0; i < BATCH; i++) once()
    samples.push(((performance.now() - from) * 1e6) / BATCH)
  }
  return { medianNs: median(samples), p99Ns: quantile(samples, 0.99) }
}

/** As {@link nanos}, of a loop that awaits; `begin` and `end` are in it, since a function around them would be awaited too. */
async function awaited(seconds: number, buffer: DmaBuf, access: 'read' | 'write'): Promise<BracketFigures> {
  const samples: number[] = []
  const batch = async () => {
    const from = performance.now()
    for (let i = 0; i < BATCH; i++) (await buffer.beginCpuAccess(access)).end()
    return ((performance.now() - from) * 1e6) / BATCH
  }
  for (let i = 0; i < 10; i++) await batch()
  const until = performance.now() + seconds * 1000
  while (performance.now() < until || samples.length < 3) samples.push(await batch())
  return { medianNs: median(samples), p99Ns: quantile(samples, 0.99) }
}

const [core = '0', seconds = '1'] = process.argv.slice(2)
pinSelf(Number(core))
const buffer = await new SystemHeap().allocate(8 << 20)
let sum = 0
const figures: Brackets = {
  read: nanos(Number(seconds), () => {
    buffer.beginCpuAccessSync('read').end()
  }),
  write: nanos(Number(seconds), () => {
    buffer.beginCpuAccessSync('write').end()
  }),
  readAndLook: nanos(Number(seconds), () => {
    const cpu = buffer.beginCpuAccessSync('read')
    sum += cpu.bytes[0]!
    cpu.end()
  }),
  readAwaited: await awaited(Number(seconds), buffer, 'read'),
  writeAwaited: await awaited(Number(seconds), buffer, 'write'),
}
buffer.close()
if (sum !== 0) throw new Error('fresh memory was not zero')
if (process.send === undefined) console.log(JSON.stringify(figures))
else process.send(figures)
