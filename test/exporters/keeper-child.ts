/**
 * A holder that leaves and keeps: it closes each buffer it gets, but holds on to its mapping and its descriptor by
 * means that no library can take away. Asked to, it tells what it still sees there.
 */
import { Channel, type DmaBuf } from '../../src/index.ts'
import type { Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { contents } from '../support/descriptor.ts'

const channel = Channel.parent()
const kept: Mapping[] = []

function keep(buffer: DmaBuf): void {
  const fd = addon().duplicate(buffer.fd)
  for (const descriptor of [fd, addon().reopen(fd, 0)]) {
    const mapping = addon().map(descriptor, 0, buffer.byteLength, 2)
    if (typeof mapping === 'number') throw new Error(`map: ${mapping}`)
    kept.push(mapping)
  }
}

/** Every byte value that is to be seen now. */
function seen(): number[] {
  const values = kept.flatMap((mapping) => [...new Set(contents(mapping))])
  return [...new Set(values)].sort((a, b) => a - b)
}

for await (const { message, buffers } of channel) {
  if (message === 'keep') {
    for (const buffer of buffers) keep(buffer)
    for (const buffer of buffers) buffer.close()
    await channel.send('kept')
  } else if (message === 'leave') {
    await channel.close()
  }
}
// The channel is gone, the process is not: it still looks, and says so on its other line.
process.on('message', () => process.send?.(seen()))
process.once('disconnect', () => process.exit(0))
process.send?.('left')
