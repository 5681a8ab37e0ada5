import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { warmUp } from '../support/dropped.ts'
import { ProcessPuppet } from '../support/puppet.ts'

const code = useCompiled()

beforeAll(warmUp)
useCensus()

async function run(part: string): Promise<unknown> {
  const script = fileURLToPath(code.url('test/children/exits.ts'))
  const child = spawn(process.execPath, [script, part], { stdio: 'inherit' })
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null]
  return status ?? signal
}

test('a process whose channels and servers are unrefed ends by itself', async () => {
  expect(await run('unref')).toBe(0)
})

test('a process with a channel that is not unrefed stays', async () => {
  expect(await run('stay')).toBe(7)
})

test('buffers, pools, leashes and doors keep no process alive', async () => {
  expect(await run('buffers')).toBe(0)
})

test('process.exit with everything open is an orderly exit', async () => {
  expect(await run('exit')).toBe(5)
})

test('workers that exit with everything open take nobody with them', async () => {
  expect(await run('workers')).toBe(0)
})

test('a holder that exits with everything open gives it all back', async () => {
  const puppet = ProcessPuppet.start({}, {}, code)
  using buffer = new SystemHeap().allocateSync(4096)
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('begin', { access: 'read' })
  await puppet.tell('leave', { status: 3 })
  await puppet.gone
  expect(puppet.child.exitCode).toBe(3)
  expect((await puppet.channel.closed).reason).toBe('peer-died')
  await puppet.channel.close()
})
