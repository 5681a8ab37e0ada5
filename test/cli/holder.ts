import { Channel } from '../../src/index.ts'

/** Holds and maps what it is given until its parent closes the channel. */
const channel = Channel.parent()
const { buffers } = await channel.receive()
for (const buffer of buffers)
  buffer.withCpuAccessSync('read', ({ bytes }) => bytes.reduce((sum, byte) => sum + byte, 0))
await channel.send('held')
await channel.closed
for (const buffer of buffers) buffer.close()
await channel.close()
