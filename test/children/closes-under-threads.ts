/** Closes buffers while threads of the pool work on their views, and prints how often that went well. */
import { randomFill } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw } from 'node:zlib'
import { SystemHeap } from '../../src/index.ts'

const heap = new SystemHeap()
const BYTES = 16 << 20
const ROUNDS = 10

const works = {
  // In one step: zlib itself aborts when its input is detached between two.
  reads: (bytes: Uint8Array) => promisify(deflateRaw)(bytes, { chunkSize: BYTES * 2, level: 1 }),
  writes: (bytes: Uint8Array) => promisify(randomFill)(bytes),
}

const guarded = process.argv.includes('guarded')
let done = 0
for (const work of Object.values(works)) {
  for (let round = 0; round < ROUNDS; round++) {
    const buffer = heap.allocateSync(BYTES, guarded ? { guard: 'report' } : {})
    const { bytes } = buffer.beginCpuAccessSync('write')
    bytes.fill(round)
    const working = [work(bytes), work(bytes.subarray(1))]
    // At any moment: before a thread has begun, in the midst of it, when it is done.
    if (round > 0) await new Promise((resolve) => setTimeout(resolve, round * 3))
    buffer.close()
    using next = heap.allocateSync(BYTES)
    next.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(9))
    await Promise.allSettled(working)
    if (next.withCpuAccessSync('read', (cpu) => cpu.bytes.every((byte) => byte === 9))) done++
  }
}
console.log(done)
