import { Device } from '../../src/dma.ts'
import { Channel, connect, type DmaBuf, listen, SystemHeap } from '../../src/index.ts'

/**
 * A process that does as it is told: allocates, holds, forwards, says what it sees. Answers each order with a message.
 */
const parent = Channel.parent()
const held: DmaBuf[] = []
let other: Channel | undefined

async function make(): Promise<DmaBuf[]> {
  const buffer = await new SystemHeap().allocate(4096, { name: 'made' })
  buffer.withCpuAccessSync('write', ({ bytes }) => bytes.fill(7))
  return [buffer]
}

const orders: Record<string, (path: string) => Promise<DmaBuf[]> | DmaBuf[]> = {
  make,
  'make-and-exit': make,
  hold: () => [],
  flood: async () => {
    for (let count = 0; count < 150; count++) await parent.send(count)
    process.exit()
  },
  listen: async (path) => {
    const server = await listen(path)
    void server.accept().then(async (channel) => {
      other = channel
      for await (const { buffers } of channel) held.push(...buffers)
    })
    return []
  },
  forward: async (path) => {
    other = await connect(path)
    await other.send('forwarded', held)
    for (const buffer of held.splice(0)) buffer.close()
    return []
  },
  drop: () => {
    for (const buffer of held.splice(0)) buffer.close()
    return []
  },
  attach: async () => {
    for (const buffer of held) await (await buffer.attach(new Device('display'))).map('to-device')
    return []
  },
  bracket: () => {
    for (const buffer of held) buffer.beginCpuAccessSync('write')
    return []
  },
}

for await (const { message, buffers } of parent) {
  const [order = '', path = ''] = String(message).split(' ')
  held.push(...buffers)
  const answer = (await orders[order]?.(path)) ?? []
  const seen = held.map((buffer) => buffer.withCpuAccess('read', ({ bytes }) => bytes[0] ?? -1))
  await parent.send(await Promise.all(seen), answer)
  for (const buffer of answer) buffer.close()
  if (order === 'make-and-exit') process.exit()
}
process.exit()
