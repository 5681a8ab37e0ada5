import { expect } from 'vitest'
import { SystemHeap } from '../../src/exporters/system-heap.ts'
import { Channel } from '../../src/share/channel.ts'
import { descriptors } from './census.ts'
import type { RawPeer } from './raw-peer.ts'
import { until } from './until.ts'

/** The peer broke the protocol in the way that `what` says, and the channel has ended because of it. */
export async function expectDropped(channel: Channel, what: RegExp, code = 'EPROTO'): Promise<void> {
  const { reason, error } = await channel.closed
  expect(error?.message).toMatch(what)
  expect(reason).toBe('error')
  expect(error?.code).toBe(code)
  await expect(channel.receive()).rejects.toBe(error)
}

/** The rest of the process is as well as before: another channel carries a buffer there and back. */
export async function expectAlive(): Promise<void> {
  const [a, end] = Channel.pair()
  const b = end.open()
  const heap = new SystemHeap()
  const buffer = heap.allocateSync(4096)
  await a.send({ alive: true }, [buffer])
  const received = await b.receive()
  expect(received.message).toEqual({ alive: true })
  for (const each of [...received.buffers, buffer]) each.close()
  await Promise.all([a.close(), b.close()])
}

/**
 * Makes what an environment makes once and keeps: its door, its state segment, the set in which it watches
 * hang-ups. For a `beforeAll`, before anything is counted.
 */
export async function warmUp(): Promise<void> {
  await expectAlive()
  // Strangers' descriptors are closed on another thread: until then the state segment is there twice.
  await until(() => descriptors().filter(({ link }) => link.includes('dmabuf')).length === 2, 'all is closed')
}

/** Closes both ends of a hostile pair. */
export async function closePair(channel: Channel, peer: RawPeer): Promise<void> {
  peer.close()
  await channel.close({ signal: AbortSignal.abort() })
}
