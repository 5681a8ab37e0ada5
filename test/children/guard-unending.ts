/** A worker that breaks the rules without end, with traps of WebAssembly in between, until it is terminated. */
import { parentPort } from 'node:worker_threads'
import { guard, SystemHeap } from '../../src/index.ts'
import { trap } from './wasm-trap.ts'

guard({ report: false })
const heap = new SystemHeap()
const buffers = Array.from({ length: 20 }, () => heap.allocateSync(8192))
const views = buffers.map((buffer) => buffer.withCpuAccessSync('write', (cpu) => cpu.bytes))
parentPort?.postMessage('begun')
for (;;) {
  for (const view of views) view[7] = 1
  trap()
  for (const buffer of buffers) buffer.beginCpuAccessSync('read').end()
}
