import { once } from 'node:events'
import { beforeAll, expect, test } from 'vitest'
import { coreOf } from '../../src/dmabuf/dmabuf.ts'
import { Channel, forkWithChannel, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow } from '../support/fails.ts'
import { warmSharing } from '../support/warm-sharing.ts'

const heap = new SystemHeap()
const child = new URL('./keeper-child.ts', import.meta.url)
const forkOptions = { execArgv: ['--import', 'tsx'] }

useCensus()
beforeAll(warmSharing)

test.each(['writable', 'read-only'] as const)(
  'what a holder kept of a %s buffer never shows its next contents',
  async (sharing) => {
    await using pool = await heap.pool({ byteLength: 8192, buffers: 1, sharing })
    const { child: keeper, channel } = forkWithChannel(child, [], forkOptions)
    const left = once(keeper, 'message')
    const first = await pool.acquire()
    const storage = coreOf(first).storage.fd
    first.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(1))
    await channel.send('keep', [first])
    first.close()
    expect((await channel.receive()).message).toBe('kept')
    // As long as it is there, the holder may see what comes: it is the same set of readers.
    await channel.send('leave')
    await channel.closed
    expect((await left)[0]).toBe('left')
    await channel.close()
    using next = await pool.acquire()
    expect(coreOf(next).storage.fd).not.toBe(storage)
    next.withCpuAccessSync('write', (cpu) => {
      expect(cpu.bytes.every((byte) => byte === 0)).toBe(true)
      cpu.bytes.fill(42)
    })
    const answer = once(keeper, 'message')
    keeper.send('look')
    expect((await answer)[0]).toEqual([1])
    keeper.disconnect()
    await once(keeper, 'exit')
  },
)

test('a buffer that is under way or held elsewhere is not given out', async () => {
  await using pool = await heap.pool({ byteLength: 4096, buffers: 1 })
  const [mine, end] = Channel.pair()
  await using theirs = end.open()
  const buffer = await pool.acquire()
  await mine.send('take', [buffer])
  pool.release(buffer)
  expect(pool.available).toBe(0)
  const waiting = pool.acquire()
  const { buffers } = await theirs.receive()
  expect(buffers).toHaveLength(1)
  expect(codeNow(() => pool.release(buffer))).toBe('EBADF')
  // In one environment it is one inner buffer, which comes back when its last wrapper is closed.
  for (const each of buffers) each.close()
  using again = await waiting
  expect(again.byteLength).toBe(4096)
  await mine.close()
})
