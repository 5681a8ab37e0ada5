import { Channel, SystemHeap } from '../../src/index.ts'

/**
 * Makes what an environment keeps once a buffer has left it (door, state segment, watch of leashes), so that a census
 * does not count it: `beforeAll(warmSharing)`.
 */
export async function warmSharing(): Promise<void> {
  const [mine, end] = Channel.pair()
  const theirs = end.open()
  const buffer = await new SystemHeap().allocate(1)
  await mine.send('warm', [buffer])
  // Closed while it is under way: from here on its leash is watched.
  buffer.close()
  const { buffers } = await theirs.receive()
  for (const each of buffers) each.close()
  await Promise.all([mine.close(), theirs.close()])
}
