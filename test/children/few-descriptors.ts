import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  bufinfo,
  Channel,
  connect,
  forkWithChannel,
  listen,
  memoryBudget,
  SystemHeap,
  workerWithChannel,
} from '../../src/index.ts'

/**
 * The core of the library in a process that may have few descriptors, thousands of rounds of each: whatever leaks
 * one runs into the limit. Prints a line for each part that worked.
 */
const puppet = new URL(process.argv[2] ?? '')
const ROUNDS = 2000
const heap = new SystemHeap()
const done = (what: string) => process.stdout.write(`${what}\n`)

for (let round = 0; round < ROUNDS; round++) {
  using buffer = heap.allocateSync(4096, { sharing: round % 2 === 0 ? 'writable' : 'read-only' })
  buffer.withCpuAccessSync('write', (cpu) => {
    cpu.bytes[0] = round & 0xff
  })
  if (round % 4 === 3) buffer.freeze()
  assert.equal(
    buffer.withCpuAccessSync('read', (cpu) => cpu.copy().bytes[0]),
    round & 0xff,
  )
}
done('allocate')

for (let round = 0; round < ROUNDS; round++) {
  const [a, end] = Channel.pair()
  const b = end.open()
  using buffer = heap.allocateSync(4096)
  await a.send(round, [buffer])
  const { buffers } = await b.receive()
  for (const each of buffers) each.close()
  await Promise.all([a.close(), b.close()])
}
done('channels')

for (const { channel, gone } of [inProcess(), inWorker()]) {
  {
    await using pool = await heap.pool({ byteLength: 4096, buffers: 4 })
    for (let round = 0; round < ROUNDS; round++) {
      using buffer = await pool.acquire()
      await channel.send({ do: 'echo', round }, [buffer])
      const { message, buffers } = await channel.receive()
      assert.equal((message as { round: number }).round, round)
      for (const each of buffers) each.close()
    }
    for (let round = 0; round < ROUNDS; round++) {
      await channel.send({ do: 'allocate', bytes: 4096 })
      const { buffers } = await channel.receive()
      for (const each of buffers) each.close()
      await channel.send({ do: 'drop' })
      await channel.receive()
    }
  }
  await channel.close()
  await gone
  done('frames')
}

const path = join(tmpdir(), `dmabuf-few-${process.pid}`)
{
  await using server = await listen(path)
  for (let round = 0; round < 500; round++) {
    const [there, here] = await Promise.all([connect(path), server.accept()])
    await there.send(round)
    assert.equal((await here.receive()).message, round)
    await Promise.all([there.close(), here.close()])
  }
}
rmSync(path, { force: true })
done('servers')

const left = () =>
  readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes('/memfd:dmabuf:'))
const deadline = performance.now() + 20_000
while (left().length > 0 && performance.now() < deadline) await sleep(5)
assert.deepEqual(left(), [])
assert.deepEqual(bufinfo(), [])
assert.equal(memoryBudget().used, 0)
assert.ok(readdirSync('/proc/self/fd').length < 128)
done('nothing is left')

function inProcess(): { channel: Channel; gone: Promise<unknown> } {
  const { child, channel } = forkWithChannel(puppet, [], { execArgv: [] })
  return { channel, gone: new Promise((resolve) => child.once('exit', resolve)) }
}

function inWorker(): { channel: Channel; gone: Promise<unknown> } {
  const { worker, channel } = workerWithChannel(puppet)
  return { channel, gone: new Promise((resolve) => worker.once('exit', resolve)) }
}
