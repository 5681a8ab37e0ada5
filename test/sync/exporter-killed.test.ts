import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DmaBuf } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { codeOf } from '../support/fails.ts'
import { Fencer } from '../support/fencer.ts'
import { namespaces, nodeIn } from '../support/namespace.ts'
import { until } from '../support/until.ts'
import { warmFences } from '../support/warm-fences.ts'

/** No directory for a door: neither of the two that are named, and a /dev/shm that cannot be written. */
const env = { ...process.env, TMPDIR: '/nonexistent', XDG_RUNTIME_DIR: '/nonexistent' }
const poor = nodeIn('mount -t tmpfs -o ro none /dev/shm')

const code = useCompiled()

beforeAll(warmFences)
afterAll(() => poor[Symbol.dispose]())
useCensus()

/** Blocks this thread until the process is in this state: T stopped, Z dead. Nothing that it sent is read meanwhile. */
function blockUntil({ pid }: Fencer, state: string): void {
  const nap = new Int32Array(new SharedArrayBuffer(4))
  while (!readFileSync(`/proc/${pid}/stat`, 'latin1').includes(`) ${state} `)) Atomics.wait(nap, 0, 0, 5)
}

/** Everything that waits for fences, and how it ends once the exporter is gone. */
async function waiters(buffer: DmaBuf): Promise<unknown[]> {
  const enter = async (access: 'read' | 'write') => {
    using cpu = await buffer.beginCpuAccess(access)
    return cpu.bytes.length
  }
  const waits = [
    enter('read'),
    enter('write'),
    buffer.poll('read'),
    codeOf(() => buffer.exportSyncFile('write')),
  ]
  const ends = await Promise.all(waits)
  return [...ends, buffer.beginCpuAccessSync('read').end()]
}

const freed = [4096, 4096, undefined, 'ENODEV', undefined]

async function close(exporter: Fencer, buffer: DmaBuf | undefined): Promise<void> {
  buffer?.close()
  await exporter.gone
  await exporter.channel.close()
}

describe.each([
  ['with a door', true, {}],
  ['without a door', namespaces, { execPath: poor.execPath, env }],
])('an exporter %s', (_, possible, options) => {
  const start = () => Fencer.fork(options, code)

  test.runIf(possible)('that was killed before its buffer was received holds up nobody', async () => {
    const exporter = start()
    await exporter.channel.ready
    await exporter.tell('expose', { signal: 'SIGKILL' })
    blockUntil(exporter, 'Z')
    const { buffers } = await exporter.channel.receive()
    expect(await waiters(buffers[0] as DmaBuf)).toEqual(freed)
    await close(exporter, buffers[0])
  })

  test.runIf(possible).each([0, 1, 3, 50])(
    'that is killed before it has answered the first word, %i ms on, holds up nobody',
    async (pause) => {
      const exporter = start()
      await exporter.channel.ready
      await exporter.tell('expose', { signal: 'SIGSTOP' })
      blockUntil(exporter, 'T')
      const { buffers } = await exporter.channel.receive()
      const waiting = waiters(buffers[0] as DmaBuf)
      await delay(pause)
      await exporter.kill()
      expect(await waiting).toEqual(freed)
      await close(exporter, buffers[0])
    },
  )

  test.runIf(possible)('that is killed while it is asked holds up nobody', async () => {
    const exporter = start()
    const { buffers } = await exporter.ask('allocate')
    await exporter.ask('import', { access: 'write' })
    await until(async () => (await exporter.ask('holders')).message['holders'] === 1, 'it is registered')
    process.kill(exporter.pid, 'SIGSTOP')
    blockUntil(exporter, 'T')
    const waiting = waiters(buffers[0] as DmaBuf)
    await delay(20)
    await exporter.kill()
    expect(await waiting).toEqual(freed)
    await close(exporter, buffers[0])
  })

  test.runIf(possible)('that is killed holds up nobody who has its buffer from somebody else', async () => {
    const exporter = start()
    await using other = Fencer.fork({}, code)
    const { buffers } = await exporter.ask('allocate')
    await other.ask('holdBuffer', {}, [], buffers)
    await exporter.ask('import', { access: 'write' })
    await until(
      async () => (await other.ask('beginSync')).message['code'] === 'EAGAIN',
      'the other one sees the fence',
    )
    const waiting = other.ask('begin', { access: 'write' })
    await delay(20)
    await exporter.kill()
    expect((await waiting).message['code']).toBeUndefined()
    await other.ask('dropBuffer')
    await close(exporter, buffers[0])
  })
})
