/** A worker thread computes on memory that the main thread goes on using: nothing is cloned, nothing detached. */
import { isMainThread } from 'node:worker_threads'
import { Channel, SystemHeap, workerWithChannel } from 'dmabuf'

if (isMainThread) {
  const { channel } = workerWithChannel(new URL('./worker-start.mjs', import.meta.url))
  await using pool = await new SystemHeap().pool({ byteLength: 1 << 20, buffers: 2, name: 'block' })
  for (let block = 0; block < 4; block++) {
    // Waits until one of the two is free: nobody here, nobody there.
    using buffer = await pool.acquire()
    await buffer.withCpuAccess('write', ({ bytes }) => bytes.fill(block))
    await channel.send({ block }, [buffer])
  }
  for (let block = 0; block < 4; block++) console.log('main:', (await channel.receive()).message)
  await channel.close()
} else {
  await using channel = Channel.parent()
  for await (const { message, buffers } of channel) {
    for (const received of buffers) {
      using buffer = received
      using cpu = await buffer.beginCpuAccess('read')
      const sum = cpu.bytes.reduce((total, byte) => total + byte, 0)
      await channel.send({ ...(message as { block: number }), sum })
    }
  }
}
