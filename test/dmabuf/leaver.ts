/** Opens one of everything, closes nothing, and ends as it is told. */
import { parentPort } from 'node:worker_threads'
import { DmaBuf, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'

const heap = new SystemHeap()
const buffers = ['writable', 'read-only'].map((sharing) =>
  heap.allocateSync(1 << 20, { sharing: sharing as 'writable' }),
)
const foreign = DmaBuf.fromFd(buffers[0]?.fd ?? -1)
const pool = await heap.pool({ byteLength: 4096, buffers: 3 })
const pooled = await pool.acquire()
const all = [...buffers, foreign, pooled]
const open = all.map((buffer) => ({ cpu: buffer.beginCpuAccessSync('write'), range: buffer.mmap() }))
for (const { cpu, range } of open) cpu.bytes.fill(range.bytes.length)
const fd = addon().memfdCreate('spare', 0)
if (fd < 0) throw new Error(`memfd: ${fd}`)
if (parentPort === null) process.stdout.write('open\n')
parentPort?.postMessage('open')

/** Still reachable when the end comes. */
Object.assign(globalThis, { open, all, pool })

switch (process.argv[2]) {
  case 'exit':
    process.exit(0)
    break
  case 'exit in a listener':
    process.on('exit', () => {
      for (const { cpu } of open) cpu.bytes.fill(1)
      for (const buffer of all) buffer.close()
      process.exitCode = 0
    })
    break
  case 'throw in a listener':
    process.on('exit', () => {
      throw new Error('mine')
    })
    break
  case 'wait':
    setInterval(() => {}, 1000)
    break
  case 'spin':
    for (;;) open[0]?.cpu.bytes.fill(3)
}
