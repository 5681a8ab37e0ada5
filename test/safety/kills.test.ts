import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Channel, type DmaBuf, DmaBufError, listen, memoryBudget, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { expectAlive, warmUp } from '../support/dropped.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

/** Rounds of each loop: `DMABUF_KILLS=5000` for a night. */
const ROUNDS = Number(process.env['DMABUF_KILLS'] ?? 70)
const heap = new SystemHeap()
const directory = mkdtempSync(join(tmpdir(), 'dmabuf-kills-'))
const code = useCompiled()

beforeAll(warmUp)
afterAll(() => rmSync(directory, { recursive: true }))
useCensus()

/** Always a few processes ahead, so that each round finds one that is ready. */
async function* puppets(count: number): AsyncGenerator<ProcessPuppet> {
  const ahead: ProcessPuppet[] = []
  for (let started = 0; started < count || ahead.length > 0; ) {
    while (ahead.length < 3 && started < count) {
      ahead.push(ProcessPuppet.start({}, {}, code))
      started++
    }
    const next = ahead.shift()
    if (next === undefined) return
    await next.channel.ready
    yield next
  }
}

/** Kills it after some turns of the event loop: somewhere among the steps of what is going on. */
function doom(puppet: ProcessPuppet): void {
  let turns = Math.floor(Math.random() ** 3 * 400)
  const step = () => {
    if (turns-- > 0) setImmediate(step)
    else process.kill(puppet.child.pid ?? 0, 'SIGKILL')
  }
  step()
}

/** What fails because the other side is gone; anything else is a bug. */
function expected(error: unknown): void {
  if (!(error instanceof DmaBufError) || !['EPIPE', 'ENODEV'].includes(error.code)) throw error
}

/** Takes whatever comes until the end, and closes it. */
async function drain(channel: Channel, each?: (buffer: DmaBuf) => void): Promise<void> {
  for await (const { buffers } of channel) {
    for (const buffer of buffers) {
      each?.(buffer)
      buffer.close()
    }
  }
}

test(
  'a holder that is killed at any moment costs its exporter nothing',
  async () => {
    await using pool = await heap.pool({ byteLength: 16_384, buffers: 4 })
    for await (const puppet of puppets(ROUNDS)) {
      doom(puppet)
      const draining = drain(puppet.channel)
      try {
        for (;;) {
          using buffer = await pool.acquire()
          buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(1))
          await puppet.tell('hold', {}, [buffer])
          await puppet.tell('begin', { access: 'write' })
          await puppet.tell('end')
          await puppet.tell('echo', {}, [buffer])
          await puppet.tell('drop')
        }
      } catch (error) {
        expected(error)
      }
      await draining
      await Promise.all([puppet.channel.close(), puppet.gone])
      await until(() => pool.available === 4, 'all buffers are back')
    }
    await expectAlive()
  },
  ROUNDS * 10_000,
)

test(
  'an exporter that is killed at any moment leaves its holder what it has, and nothing else',
  async () => {
    for await (const puppet of puppets(ROUNDS)) {
      doom(puppet)
      const kept: DmaBuf[] = []
      try {
        for (let frame = 0; ; frame++) {
          await puppet.tell('allocate', { bytes: 8192 })
          await puppet.tell('fill', { value: 7 })
          const { buffers } = await puppet.channel.receive()
          if (frame === 0) kept.push(...buffers)
          else for (const buffer of buffers) buffer.close()
          await puppet.channel.receive()
          await puppet.ask('begin', { access: 'write' })
          await puppet.ask('drop')
        }
      } catch (error) {
        expected(error)
      }
      await drain(puppet.channel)
      await Promise.all([puppet.channel.close(), puppet.gone])
      for (const buffer of kept) {
        expect([0, 7]).toContain(buffer.withCpuAccessSync('read-write', (cpu) => cpu.bytes[0]))
        buffer.close()
      }
    }
    await expectAlive()
  },
  ROUNDS * 10_000,
)

test(
  'a forwarder that is killed at any moment takes nothing with it',
  async () => {
    const path = join(directory, 'forward')
    await using server = await listen(path)
    const { used } = memoryBudget()
    const arrivals = (async () => {
      const each: Promise<void>[] = []
      for await (const channel of server) {
        const intact = (buffer: DmaBuf) => {
          expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[4095])).toBe(3)
        }
        each.push(drain(channel, intact).then(() => channel.close()))
      }
      await Promise.all(each)
    })()
    for await (const puppet of puppets(ROUNDS)) {
      doom(puppet)
      const draining = drain(puppet.channel)
      try {
        for (;;) {
          using buffer = heap.allocateSync(4096)
          buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(3))
          await puppet.tell('hold', {}, [buffer])
          await puppet.tell('forward', { path })
          await puppet.tell('drop')
        }
      } catch (error) {
        expected(error)
      }
      await draining
      await Promise.all([puppet.channel.close(), puppet.gone])
    }
    await until(() => memoryBudget().used === used, 'all memory is given back')
    await server.close()
    await arrivals
    await expectAlive()
  },
  ROUNDS * 10_000,
)
