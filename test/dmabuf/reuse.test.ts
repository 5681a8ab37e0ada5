import { ftruncateSync } from 'node:fs'
import { expect, test } from 'vitest'
import { bufinfo, DmaBuf, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { withFd } from '../support/descriptor.ts'
import { codeNow } from '../support/fails.ts'
import { untilCollected } from '../support/until.ts'

const heap = new SystemHeap()

useCensus()

/** What ties a wrapper to its buffer serves the next wrapper when it is closed; nothing old may reach the new one. */
async function forgottenIsCollected(): Promise<void> {
  ;(() => {
    heap.allocateSync(1 << 20, { name: 'next' })
  })()
  await untilCollected(() => bufinfo().every(({ name }) => name !== 'next'), 'the next buffer is collected')
}

test('accesses of a closed buffer are nothing to the buffer that comes after it', async () => {
  const first = await heap.allocate(4096)
  const ended = first.beginCpuAccessSync('write')
  ended.end()
  first.close()
  const second = await heap.allocate(4096)
  const left = second.beginCpuAccessSync('write')
  second.close()
  using third = await heap.allocate(4096)
  using cpu = third.beginCpuAccessSync('write')
  for (const old of [ended, left]) {
    expect(old.ended).toBe(true)
    expect(codeNow(() => old.bytes)).toBe('EBADF')
    old.end()
  }
  expect(bufinfo()).toMatchObject([{ openBrackets: 1, openWriteBrackets: 1 }])
  expect(cpu.bytes.length).toBe(4096)
})

test('a use that runs on after the close disturbs no later buffer', async () => {
  const first = await heap.allocate(4096)
  let go = () => {}
  const running = first.withCpuAccess('write', () => new Promise<void>((resolve) => (go = resolve)))
  await new Promise(setImmediate)
  first.close()
  using second = await heap.allocate(4096)
  using cpu = second.beginCpuAccessSync('write')
  go()
  await running
  expect([cpu.ended, bufinfo()[0]?.openWriteBrackets]).toEqual([false, 1])
})

test('a range of a closed buffer is nothing to the buffer that comes after it', async () => {
  const first = await heap.allocate(4096)
  const range = first.mmap()
  first.close()
  using second = await heap.allocate(4096)
  expect([range.closed, codeNow(() => range.bytes), second.closed]).toEqual([true, 'EBADF', false])
  range.close()
})

test('whoever holds the empty view of a closed buffer keeps no later one', async () => {
  const buffer = await heap.allocate(4096)
  const bytes = buffer.withCpuAccessSync('read', (cpu) => cpu.bytes)
  buffer.close()
  await forgottenIsCollected()
  expect(bytes.length).toBe(0)
})

test('whoever holds the empty view from before a freeze keeps no later buffer', async () => {
  const buffer = await heap.allocate(4096, { sharing: 'read-only' })
  const bytes = buffer.withCpuAccessSync('write', (cpu) => cpu.bytes)
  buffer.freeze()
  buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0])
  buffer.close()
  await forgottenIsCollected()
  expect(bytes.length).toBe(0)
})

test('whoever holds the empty view of a part of a large buffer keeps no later one', async () => {
  const views: Uint8Array[] = []
  await withFd(addon().memfdCreate('sparse', 0), (fd) => {
    ftruncateSync(fd, 5 * 2 ** 30)
    using buffer = DmaBuf.fromFd(fd, { trust: 'unsealed' })
    buffer.withCpuAccessSync('read', (cpu) => views.push(cpu.bytes), { length: 4096 })
  })
  await forgottenIsCollected()
  expect(views.map((view) => view.length)).toEqual([0])
})
