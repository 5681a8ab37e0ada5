import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { vmemexp } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { blocks, bytesOf, filledWith } from '../support/blocks.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { warmUp } from '../support/dropped.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const code = useCompiled()

beforeAll(warmUp)
useCensus()

test('another process sees what is stored here, and the reverse, in every kind of memory', async () => {
  await using puppet = ProcessPuppet.start({}, undefined, code)
  for (const make of Object.values(blocks)) {
    const memory = make()
    const bytes = bytesOf(memory)
    using buffer = await vmemexp.export(memory, { lock: false })
    await puppet.ask('hold', {}, [buffer])
    buffer.withCpuAccessSync('write', () => bytes.fill(2))
    expect((await puppet.ask('sum')).message['sum']).toBe(2 * bytes.length)
    await puppet.ask('fill', { value: 9 })
    buffer.withCpuAccessSync('read', () => expect(filledWith(bytes, 9)).toBe(true))
    await puppet.ask('drop')
  }
})

test('memory stays shared until the last holder elsewhere is gone, and is private then', async () => {
  await using puppet = ProcessPuppet.start({}, undefined, code)
  const memory = vmemexp.allocate(100_000)
  const bytes = new Uint8Array(memory)
  const buffer = await vmemexp.export(memory)
  await puppet.ask('hold', {}, [buffer])
  buffer.close()
  await puppet.ask('fill', { value: 7 })
  expect(filledWith(bytes, 7)).toBe(true)
  using again = await vmemexp.export(memory)
  expect(again.role).toBe('exporter')
  again.close()
  await puppet.ask('drop')
  await until(() => addon().isExported(addon().addressOf(bytes), 1) === 0, 'the export has ended')
  expect(filledWith(bytes, 7)).toBe(true)
})

test('memory is private again when its holder is killed', async () => {
  const puppet = ProcessPuppet.start({}, undefined, code)
  const memory = vmemexp.allocate(100_000)
  const buffer = await vmemexp.export(memory)
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('begin', { access: 'write' })
  buffer.close()
  expect(addon().isExported(addon().addressOf(new Uint8Array(memory)), 1)).toBe(1)
  await puppet.kill()
  await puppet.channel.close()
  await until(
    () => addon().isExported(addon().addressOf(new Uint8Array(memory)), 1) === 0,
    'the export has ended',
  )
})

/** Kibibytes by proportion of everything that a process maps of a file. */
function proportionalSize(pid: number, name: string): number {
  const mappings = readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  return mappings
    .filter((text) => text.includes(`/memfd:dmabuf:${name} `))
    .reduce((sum, text) => sum + Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1]), 0)
}

test('there is one physical copy: the proportional sizes of both processes are the size of the memory', async () => {
  await using puppet = ProcessPuppet.start({}, undefined, code)
  const kibibytes = 8192
  const memory = vmemexp.allocate(kibibytes * 1024)
  new Uint8Array(memory).fill(1)
  using buffer = await vmemexp.export(memory, { name: 'one copy', lock: false })
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('sum')).message['sum']).toBe(kibibytes * 1024)
  const ours = proportionalSize(process.pid, 'one copy')
  const theirs = proportionalSize(puppet.child.pid ?? 0, 'one copy')
  expect(theirs).toBeGreaterThan(0)
  // Each line is rounded to whole kibibytes.
  expect(Math.abs(ours + theirs - kibibytes)).toBeLessThanOrEqual(4)
  await puppet.ask('drop')
})

test.each([
  [0, 'EPERM'],
  [64, 'ENOMEM'],
])(
  'locking beyond a limit of %i KiB is %s, says how to raise it, and changes nothing',
  async (limit, expected) => {
    const script = fileURLToPath(code.url('test/children/vmem-locker.ts'))
    // Who may do everything has no limit.
    const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
    const command = `ulimit -l ${limit} && exec "${process.execPath}" "${script}"`
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command], { ...user, cwd: '/' })
    const { refused, sum, frames } = JSON.parse(stdout)
    expect(refused).toMatchObject({
      code: expected,
      syscall: 'mlock',
      message: expect.stringContaining(String(limit * 1024)),
    })
    expect(refused.hint).toContain('ulimit -l')
    expect([sum, frames]).toEqual([7 << 20, 'hidden'])
  },
)
