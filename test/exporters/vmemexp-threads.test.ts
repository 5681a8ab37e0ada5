import { randomFill } from 'node:crypto'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { beforeAll, expect, test } from 'vitest'
import { vmemexp } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import {
  blocks,
  bytesOf,
  filledWith,
  growable,
  MAPPED_BYTES,
  resizable,
  wasmMemory,
} from '../support/blocks.ts'
import { useCensus } from '../support/census.ts'
import { withFd } from '../support/descriptor.ts'
import { codeOf } from '../support/fails.ts'
import { typescriptWorker } from '../support/typescript-worker.ts'

const page = addon().pageSize
const module = new URL('../children/vmem-thread.ts', import.meta.url)

beforeAll(async () => {
  // What the first worker makes once for the process is not of the tests' making.
  const worker = typescriptWorker(module, { workerData: growable(page) })
  await once(worker, 'message')
  await worker.terminate()
})
useCensus()

/** Counts every 61st word up, round after round, until it is told to stop; its rounds are told then. */
const counter = `
const { workerData: { memory, control } } = require('node:worker_threads')
const words = new Uint32Array(memory)
let rounds = 0
while (Atomics.load(control, 1) === 0) {
  for (let word = 0; word < words.length; word += 61) words[word]++
  Atomics.store(control, 0, ++rounds)
  Atomics.notify(control, 0)
}
Atomics.store(control, 2, 1)
Atomics.notify(control, 2)
`

test.each([
  ['a growable SharedArrayBuffer', () => growable(4 << 20)],
  ['a shared WebAssembly.Memory', () => wasmMemory(64, true)],
  ["a malloc'ed SharedArrayBuffer", () => new SharedArrayBuffer(MAPPED_BYTES)],
])('a thread that stores during exports, and when they end, loses nothing: %s', async (_, make) => {
  const memory = make()
  const words = new Uint32Array(bytesOf(memory).buffer)
  const control = new Int32Array(new SharedArrayBuffer(12))
  const worker = new Worker(counter, { eval: true, workerData: { memory: words.buffer, control } })
  Atomics.wait(control, 0, 0)
  for (let n = 0; n < 25; n++) {
    const buffer = await vmemexp.export(memory, { lock: false })
    buffer.close()
  }
  Atomics.store(control, 1, 1)
  Atomics.wait(control, 2, 0)
  const rounds = Atomics.load(control, 0)
  expect(words.every((value, word) => value === (word % 61 === 0 ? rounds : 0))).toBe(true)
  await worker.terminate()
})

test('a thread of the pool that stores during exports loses nothing', async () => {
  const bytes = new Uint8Array(resizable(16 << 20))
  const filled = promisify(randomFill)(bytes)
  for (let n = 0; n < 5; n++) {
    const buffer = await vmemexp.export(bytes, { lock: false })
    buffer.close()
    await new Promise(setImmediate)
  }
  await filled
  const zeros = Buffer.alloc(64)
  expect(Buffer.from(bytes.buffer).includes(zeros)).toBe(false)
})

test.each(['exits', 'is terminated'])(
  'memory that a thread exported is private again when it %s, and others go on',
  async (how) => {
    for (const make of [blocks['a growable SharedArrayBuffer'], blocks["a malloc'ed SharedArrayBuffer"]]) {
      const memory = make()
      const bytes = new Uint8Array(memory)
      bytes.fill(3)
      const worker = typescriptWorker(module, { workerData: memory })
      const [fd] = (await once(worker, 'message')) as [number]
      await withFd(addon().duplicate(fd), async (own) => {
        const offset = addon().addressOf(bytes) % page
        const mapping = addon().map(own, offset, bytes.length, 0)
        if (typeof mapping === 'number') return expect.unreachable()
        const file = new Uint8Array(mapping.view() as ArrayBuffer)
        bytes[2 * page] = 4
        expect(file[2 * page]).toBe(4)
        expect(await codeOf(() => vmemexp.export(memory))).toBe('EBUSY')
        const gone = once(worker, 'exit')
        if (how === 'exits') worker.postMessage('exit')
        else await worker.terminate()
        await gone
        expect(bytes[2 * page]).toBe(4)
        bytes.fill(5)
        expect(filledWith(file.subarray(2 * page + 1), 3)).toBe(true)
        mapping.close()
      })
      const buffer = await vmemexp.export(memory, { lock: false })
      buffer.close()
    }
  },
)
