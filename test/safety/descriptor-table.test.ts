import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { useCompiled } from '../support/compiled.ts'

const code = useCompiled()

/** Runs a child of the tests with a limit of descriptors; what it printed, and how it ended. */
async function underLimit(
  limit: number,
  path: string,
  args: readonly string[] = [],
  user: { uid?: number; gid?: number } = {},
) {
  const argv = ['-c', `ulimit -n ${limit}; exec "$@"`, 'sh', process.execPath, '--expose-gc']
  const script = fileURLToPath(code.url(`test/children/${path}`))
  const child = spawn('/bin/sh', [...argv, script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
    ...user,
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { status, signal, out, err }
}

interface Line {
  readonly free: number
  readonly what: 'send' | 'receive'
  readonly code: string
  readonly after: string
  readonly reason: string
}

test('a full descriptor table is an EMFILE: nothing leaks, nothing crashes, a failed send harms no channel', async () => {
  const { status, signal, out, err } = await underLimit(90, 'full-table.ts', [
    code.url('test/children/puppet.ts').href,
  ])
  expect(err).toBe('')
  expect([status, signal]).toEqual([0, null])
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line & { leaked?: number })
  expect(lines.at(-1)).toEqual({ leaked: 0 })
  const attempts = lines.slice(2, -1)
  for (const { what, code: result, after, reason, free } of attempts) {
    expect(['done', 'EMFILE'], `${what} with ${free} free`).toContain(result)
    if (what === 'receive') expect(reason).toBe(result === 'done' ? 'closed' : 'error')
    else expect(after, `the channel after a failed send with ${free} free`).toBe('done')
  }
  for (const what of ['receive', 'send']) {
    const results = attempts.filter((line) => line.what === what).map((line) => line.code)
    expect(results[0]).toBe('EMFILE')
    expect(results.at(-1)).toBe('done')
  }
})

// A script and not the runner: so that the descriptors counted are the library's, and none of vitest's own.
// Node's module loader alone opens dozens of files at once, for the library has that many; so not 64 here.
test('all that the library does works under ulimit -n 128, thousands of times', async () => {
  const puppet = code.url('test/children/puppet.ts').href
  const { status, signal, out, err } = await underLimit(128, 'few-descriptors.ts', [puppet])
  expect(err).toBe('')
  expect(out.trim().split('\n')).toEqual([
    'allocate',
    'channels',
    'frames',
    'frames',
    'servers',
    'nothing is left',
  ])
  expect([status, signal]).toEqual([0, null])
})

test('a peer that does not read stops the buffers of its user, not the messages, and not for longer than it lives', async () => {
  // Root is exempt from the kernel's limit, so that it becomes another user; everybody else is one.
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const { status, signal, out, err } = await underLimit(128, 'in-flight.ts', [], user)
  expect(err).toBe('')
  expect(out.trim().split('\n')).toEqual([
    'the limit is an error of the send',
    'messages without buffers pass, on this channel and others',
    'when the deaf peer is gone, all goes on',
  ])
  expect([status, signal]).toEqual([0, null])
})
