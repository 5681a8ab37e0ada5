/** One process makes a picture, another one looks at it: the same memory, no copy. */
import { Channel, forkWithChannel, SystemHeap } from 'dmabuf'

if (process.argv[2] !== 'reader') {
  const { channel } = forkWithChannel(new URL(import.meta.url), ['reader'])
  using picture = await new SystemHeap().allocate(3840 * 2160 * 4, { name: 'picture' })
  await picture.withCpuAccess('write', ({ bytes }) => bytes.fill(42))
  await channel.send({ width: 3840, height: 2160 }, [picture])

  await channel.receive() // the reader has written into it, too
  using cpu = await picture.beginCpuAccess('read')
  console.log(`writer: the first byte is ${cpu.bytes[0]} now`)
  await channel.close()
} else {
  await using channel = Channel.parent()
  const { message, buffers } = await channel.receive()
  using picture = buffers[0]
  await picture?.withCpuAccess('read-write', ({ bytes }) => {
    console.log('reader:', message, `${bytes.length} bytes of ${bytes[0]}`)
    bytes[0] = 43
  })
  await channel.send('done')
}
