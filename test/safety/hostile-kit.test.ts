import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Channel } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { expectAlive, expectDropped, warmUp } from '../support/dropped.ts'

const UNSUPPORTED = 77
const directory = mkdtempSync(join(tmpdir(), 'dmabuf-kit-'))
const kit = join(directory, 'kit')

beforeAll(async () => {
  const source = fileURLToPath(new URL('../hostile/kit.c', import.meta.url))
  execFileSync(process.env['CC'] ?? 'cc', ['-Wall', '-Wextra', '-Werror', '-O1', '-o', kit, source])
  await warmUp()
})
afterAll(() => rmSync(directory, { recursive: true }))
useCensus()

/** Runs the kit against a channel; its exit status. */
async function attack(what: string, meet: (channel: Channel) => Promise<void>): Promise<number> {
  const [channel, end] = Channel.pair()
  const child = spawn(kit, [what], { stdio: ['ignore', 'inherit', 'inherit', end.fd] })
  end.close()
  const exit = once(child, 'exit')
  const first = await Promise.race([exit.then(([status]) => status as number), channel.ready])
  if (first !== UNSUPPORTED) await meet(channel)
  await channel.close()
  return ((await exit) as [number])[0]
}

test('a program in C that follows the protocol is a peer', async () => {
  const status = await attack('sealed', async (channel) => {
    const { buffers } = await channel.receive()
    expect(buffers.map((buffer) => buffer.byteLength)).toEqual([4096])
    expect(channel.peer.uid).toBe(process.getuid?.())
    for (const buffer of buffers) buffer.close()
  })
  expect(status).toBe(0)
})

for (const [what, reason] of [
  ['secret', /cannot be mapped: it has no seals|cannot be mapped: it is \/secretmem/],
  ['fifo', /cannot be mapped/],
  ['shm', /may still shrink/],
  ['eventfd', /cannot be mapped: it is anon_inode/],
  ['timerfd', /cannot be mapped: it is anon_inode/],
  ['signalfd', /cannot be mapped: it is anon_inode/],
  ['inotify', /cannot be mapped: it is anon_inode/],
  ['shrinkable', /may still shrink/],
  ['write-only', /cannot be read \(O_WRONLY\)/],
] as const) {
  test(`a stranger's ${what} is no storage`, async () => {
    const status = await attack(what, (channel) => expectDropped(channel, reason))
    // 77: this kernel has none (memfd_secret may be switched off), so nobody can send one either.
    expect([0, UNSUPPORTED]).toContain(status)
    await expectAlive()
  })
}
