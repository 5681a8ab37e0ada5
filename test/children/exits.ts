import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Channel, listen, SystemHeap } from '../../src/index.ts'

/** Ends, or does not end, in the way that its argument names. */
const heap = new SystemHeap()

/** A buffer that went through a channel, with everything open that there is. */
async function everything(): Promise<Channel[]> {
  const [a, end] = Channel.pair()
  const b = end.open()
  const buffer = await heap.allocate(1 << 20)
  const pool = await heap.pool({ byteLength: 4096, buffers: 2, sharing: 'read-only' })
  await a.send({}, [buffer, await pool.acquire()])
  const { buffers } = await b.receive()
  for (const each of [buffer, ...buffers]) void each.beginCpuAccessSync('read').bytes
  return [a, b]
}

const parts: Record<string, () => Promise<void>> = {
  unref: async () => {
    for (const channel of await everything()) channel.unref()
    const server = await listen(join(tmpdir(), `dmabuf-exits-${process.pid}`))
    server.unref()
    void server.accept()
  },
  stay: async () => {
    const [a] = await everything()
    a?.unref().ref()
    // Only a process that stays comes to this.
    setTimeout(() => process.exit(7), 200).unref()
  },
  buffers: async () => {
    for (const channel of await everything()) await channel.close()
  },
  exit: async () => {
    await everything()
    process.exit(5)
  },
  workers: async () => {
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(new URL(import.meta.url), { argv: ['exit'] })
      await new Promise((resolve) => worker.once('exit', resolve))
    }
  },
}

await parts[process.argv[2] ?? '']?.()
