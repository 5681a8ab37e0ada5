import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bufinfo, type DmaBuf, listen, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { warmUp } from '../support/dropped.ts'
import { namespaces, nodeIn } from '../support/namespace.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
const directory = mkdtempSync(join(tmpdir(), 'dmabuf-poor-'))
/** No directory for a door: neither of the two that are named, and a /dev/shm that cannot be written. */
const nowhere = { ...process.env, TMPDIR: '/nonexistent', XDG_RUNTIME_DIR: '/nonexistent' }
const noRoom = 'mount -t tmpfs -o ro none /dev/shm'
const code = useCompiled()

beforeAll(warmUp)
afterAll(() => rmSync(directory, { recursive: true }))
useCensus()

/** The whole of sharing with a process that lives in a poor place: its buffers here, ours there, and on to a third. */
async function shareWith(execPath: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  await using puppet = ProcessPuppet.start({ execPath, env }, {}, code)
  // Its buffer here: registered over a connected pair, released when it is closed.
  const { buffers } = await puppet.ask('allocate', { bytes: 8192 })
  const [theirs] = buffers
  await puppet.ask('fill', { value: 2 })
  expect(theirs?.withCpuAccessSync('read', (cpu) => cpu.bytes[8191])).toBe(2)
  const holders = async () => (await puppet.ask('holders')).message['holders'] as { pid: number }[]
  await until(async () => (await holders()).length === 1, 'this process is registered')
  // The same buffer again, and by name.
  for (let round = 0; round < 5; round++) {
    const again = await puppet.ask('show')
    expect(again.buffers[0]?.same(theirs as DmaBuf)).toBe(true)
    for (const each of again.buffers) each.close()
  }
  theirs?.close()
  await until(async () => (await holders()).length === 0, 'this process is registered no more')
  await puppet.ask('drop')
  // Ours there.
  using ours = heap.allocateSync(4096)
  await puppet.ask('hold', {}, [ours])
  await puppet.ask('fill', { value: 5 })
  expect(ours.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(5)
  await puppet.ask('drop')
  // Theirs, from a forwarder who cannot show a door.
  const path = join(directory, `s${Math.random().toString(36).slice(2)}`)
  await using server = await listen(path)
  await using forwarder = ProcessPuppet.start({}, {}, code)
  const shown = await puppet.ask('allocate', { bytes: 4096 })
  await forwarder.ask('hold', {}, shown.buffers)
  for (const buffer of shown.buffers) buffer.close()
  const forwarding = forwarder.ask('forward', { path })
  const channel = await server.accept()
  const received = await channel.receive()
  await forwarding
  await puppet.ask('fill', { value: 6 })
  expect(received.buffers[0]?.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(6)
  for (const buffer of received.buffers) buffer.close()
  await channel.close()
}

// A mount of one's own needs root, or a system that lets everybody have one.
const poor = test.runIf(namespaces)

poor('an exporter without a directory for a door shares all the same', async () => {
  using node = nodeIn(noRoom)
  await shareWith(node.execPath, nowhere)
})

poor('an exporter without /proc shares all the same', async () => {
  using node = nodeIn('umount -l /proc')
  await shareWith(node.execPath)
})

poor('an exporter with neither shares all the same', async () => {
  using node = nodeIn(`${noRoom} && umount -l /proc`)
  await shareWith(node.execPath, nowhere)
})

poor("a container's small /dev/shm does not count: memory is not taken from there", async () => {
  using node = nodeIn('mount -t tmpfs -o size=64k none /dev/shm')
  await using puppet = ProcessPuppet.start({ execPath: node.execPath }, {}, code)
  const { buffers } = await puppet.ask('allocate', { bytes: 128 << 20 })
  await puppet.ask('fill', { value: 1 })
  expect(buffers[0]?.withCpuAccessSync('read', (cpu) => cpu.bytes[(128 << 20) - 1])).toBe(1)
  for (const buffer of buffers) buffer.close()
  await puppet.ask('drop')
  await until(() => bufinfo().length === 0, 'it is given back')
})
