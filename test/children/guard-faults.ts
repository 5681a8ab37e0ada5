import { isMainThread, threadId } from 'node:worker_threads'
import { SystemHeap, violations } from '../../src/index.ts'

/** Touches a buffer between brackets, so many times, and says what came of it. Its guard is turned on from outside. */
const times = Number(process.env['TIMES'] ?? 3)
const buffer = new SystemHeap().allocateSync(8192, { name: isMainThread ? 'frame' : `frame ${threadId}` })

function draw(): Uint8Array {
  const cpu = buffer.beginCpuAccessSync('write')
  const { bytes } = cpu
  cpu.end()
  return bytes
}

const first = draw()
for (let at = 0; at < times; at++) {
  first[at % 8192] = at
  draw()
}
const last = buffer.beginCpuAccessSync('read')
const wrong = first.subarray(0, times).findIndex((byte, at) => byte !== (at & 255))
last.end()
console.log(
  violations()
    .map(({ count }) => count)
    .join(),
  wrong,
)
// A second kind: nobody begins a bracket afterwards.
if (process.env['READ'] !== undefined) console.log(first[8191])
