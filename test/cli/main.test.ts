import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import type { BufferRow } from '../../src/cli/buffer-table.ts'
import { forkWithChannel, SystemHeap } from '../../src/index.ts'

const root = new URL('../../', import.meta.url).pathname

function dmabuf(...args: string[]) {
  const options = { cwd: root, encoding: 'utf8' } as const
  return spawnSync(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', ...args], options)
}

test('doctor finds that this machine can do it', () => {
  const { status, stdout } = dmabuf('doctor')
  expect(stdout).toMatch(/^ok +platform +linux/)
  expect(stdout).toMatch(/^ok +memfd sealing +works$/m)
  expect(stdout).toMatch(/dmabuf works here\.\n$/)
  expect(status).toBe(0)
})

test('doctor names an addon that does not load, and says 1', () => {
  const env = { ...process.env, DMABUF_ADDON: '/nowhere/dmabuf.node' }
  const options = { cwd: root, encoding: 'utf8', env } as const
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'src/cli/main.ts', 'doctor'],
    options,
  )
  expect(stdout).toMatch(/^missing +addon +.*ERR_DMABUF_NO_ADDON/m)
  expect(stdout).toMatch(/\/nowhere\/dmabuf\.node: there is no such file/)
  expect(stdout).toMatch(/dmabuf does not work here: addon\.\n$/)
  expect(status).toBe(1)
})

test('list shows a buffer once, with everybody who has it', async () => {
  const { child, channel } = forkWithChannel(new URL('./holder.ts', import.meta.url), [], {
    execArgv: ['--import', 'tsx'],
  })
  const name = `list-${process.pid}`
  const buffer = await new SystemHeap().allocate(1_000_000, { name, prefault: true })
  await channel.send('hold', [buffer])
  await channel.receive()
  const { stdout, status } = dmabuf('list', '--json')
  const { buffers } = JSON.parse(stdout) as { buffers: BufferRow[] }
  const rows = buffers.filter((row) => row.name === name)
  expect(rows).toMatchObject([{ kind: 'memfd', device: '0:1', byteLength: 1_003_520 }])
  const users = rows[0]?.users.toSorted((a, b) => a.pid - b.pid)
  const both = [
    { pid: process.pid, descriptors: 1, mappings: 1, pss: 501_760 },
    { pid: child.pid, descriptors: 1, mappings: 1, pss: 501_760 },
  ]
  expect(users).toMatchObject(both.toSorted((a, b) => Number(a.pid) - Number(b.pid)))
  expect(status).toBe(0)
  expect(dmabuf('list').stdout).toMatch(new RegExp(`^${name} +980 KiB`, 'm'))
  buffer.close()
  await channel.close()
  if (child.exitCode === null) await once(child, 'exit')
  expect(dmabuf('list').stdout).not.toContain(name)
}, 60_000)

test('help and version are printed, and wrong arguments are 2', () => {
  expect(dmabuf('--help')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^Usage: dmabuf/) })
  expect(dmabuf('--version')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  for (const args of [[], ['nope'], ['list', 'more'], ['--wrong'], ['doctor', '--json']]) {
    expect(dmabuf(...args)).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^dmabuf: .*\n\nUsage/),
    })
  }
}, 60_000)
