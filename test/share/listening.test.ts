import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Allow, type Channel, connect, listen, type Server } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { VERSION } from '../../src/transport/packet.ts'
import { useCensus } from '../support/census.ts'
import { warmUp } from '../support/dropped.ts'
import { codeOf, failure } from '../support/fails.ts'
import { packet, RawPeer } from '../support/raw-peer.ts'
import { until } from '../support/until.ts'

const directory = mkdtempSync(join(tmpdir(), 'dmabuf-listen-'))
const server = fileURLToPath(new URL('../children/server.ts', import.meta.url))
let path: string
let serial = 0

beforeAll(warmUp)
beforeEach(() => {
  path = join(directory, `s${serial++}`)
})
afterAll(() => rmSync(directory, { recursive: true }))
useCensus()

/** A raw connection to a listening path. */
function rawConnect(to: string): RawPeer {
  const fd = addon().socket()
  if (addon().connect(fd, to, false) < 0) throw new Error('no connection')
  return new RawPeer(fd)
}

async function meet(listening: Server, address: Parameters<typeof connect>[0]): Promise<[Channel, Channel]> {
  const [there, here] = await Promise.all([connect(address), listening.accept()])
  await there.send('hello')
  expect((await here.receive()).message).toBe('hello')
  return [there, here]
}

async function closeAll(...all: { close(): Promise<void> }[]): Promise<void> {
  await Promise.all(all.map((each) => each.close()))
}

test('a server hears who connects, by path, and removes its file when it closes', async () => {
  const listening = await listen(path)
  expect(listening.address).toEqual({ path })
  const [there, here] = await meet(listening, { path })
  expect([here.peer.uid, here.peer.pid]).toEqual([process.getuid?.(), process.pid])
  await closeAll(there, here, listening)
  expect(existsSync(path)).toBe(false)
  expect(readdirSync(directory)).toEqual([])
})

test('a server hears who connects to its abstract name', async () => {
  const address = { abstract: `dmabuf-test-${process.pid}` }
  const listening = await listen(address)
  expect(listening.address).toEqual(address)
  expect(await codeOf(() => listen(address))).toBe('EADDRINUSE')
  const [there, here] = await meet(listening, address)
  await closeAll(there, here, listening)
  expect(await codeOf(() => connect(address))).toBe('ECONNREFUSED')
})

test('the mode of the socket file is the one asked for, whatever the umask', async () => {
  for (const [mode, expected] of [
    [undefined, 0o600],
    [0o666, 0o666],
    [0o770, 0o770],
  ] as const) {
    const before = process.umask(0o077)
    const listening = await listen(path, mode === undefined ? {} : { mode })
    process.umask(before)
    expect(lstatSync(path).mode & 0o777).toBe(expected)
    await listening.close()
  }
})

test('a living server keeps its path', async () => {
  const listening = await listen(path)
  const error = await failure(() => listen(path))
  expect(error.code).toBe('EADDRINUSE')
  expect(error.message).toContain(path)
  await closeAll(...(await meet(listening, path)), listening)
})

test('the file of a dead server is replaced', async () => {
  // The end of its input would be its orderly end, which removes the file.
  const child = spawn(process.execPath, ['--import', 'tsx', server, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(lstatSync(path).isSocket()).toBe(true)
  // Its sockets go a moment after it: a kernel thread of Node's (io_uring) may be the last to have them.
  await until(async () => (await codeOf(() => connect(path))) === 'ECONNREFUSED', 'its socket is gone')
  const listening = await listen(path)
  await closeAll(...(await meet(listening, path)), listening)
})

test('a file of another kind is never touched', async () => {
  writeFileSync(path, 'precious')
  expect((await failure(() => listen(path))).code).toBe('EADDRINUSE')
  expect(readFileSync(path, 'utf8')).toBe('precious')
  rmSync(path)
  expect(await codeOf(() => listen(directory))).toBe('EADDRINUSE')
  expect(readdirSync(directory)).toEqual([])
})

test('of many servers that start at once in one process exactly one wins', async () => {
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => listen(path)))
  const winners = results.filter((result) => result.status === 'fulfilled').map((result) => result.value)
  expect(winners).toHaveLength(1)
  for (const winner of winners) await closeAll(...(await meet(winner, path)), winner)
})

test('a server waits while another one looks after the files of its directory, but not for ever', async () => {
  const lock = addon().open(directory, 0, 0)
  expect(addon().lock(lock)).toBe(0)
  let listens = false
  const waiting = listen(path).finally(() => {
    listens = true
  })
  const aborted = codeOf(() => listen(`${path}-aborted`, { signal: AbortSignal.timeout(1) }))
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  expect(listens).toBe(false)
  addon().close(lock)
  await closeAll(await waiting)
  expect(await aborted).toBe('ABORT_ERR')
  const held = addon().open(directory, 0, 0)
  expect(addon().lock(held)).toBe(0)
  await closeAll(await listen(path))
  addon().close(held)
  expect(readdirSync(directory).filter((name) => name.startsWith('s'))).toEqual([])
})

test('of many processes that find the file of a dead server exactly one wins', async () => {
  const args = ['--import', 'tsx', server, path]
  const start = () => spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const dead = start()
  await once(dead.stdout, 'data')
  dead.kill('SIGKILL')
  await once(dead, 'exit')
  const racers = Array.from({ length: 4 }, start)
  const words = await Promise.all(
    racers.map(async (racer) => String((await once(racer.stdout, 'data'))[0]).trim()),
  )
  expect(words.toSorted()).toEqual(['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE', 'listening'])
  const channel = await connect(path)
  await channel.close()
  for (const racer of racers) {
    racer.stdin.end()
    if (racer.exitCode === null) await once(racer, 'exit')
  }
  // An orderly exit removes the file.
  expect(readdirSync(directory)).toEqual([])
})

test('nobody listening is ECONNREFUSED or ENOENT, with the path in the message', async () => {
  const error = await failure(() => connect(path))
  expect(error.code).toBe('ENOENT')
  expect(error.syscall).toBe('connect')
  expect(error.message).toContain(path)
})

test('allow decides by uid, gid and pid of the kernel, or by a function', async () => {
  const uid = process.getuid?.() ?? 0
  const cases: [Allow, boolean][] = [
    [{ uid }, true],
    [{ uid: uid + 1 }, false],
    [{ gid: process.getgid?.() ?? 0, pid: process.pid }, true],
    [{ uid, pid: process.pid + 1 }, false],
    [{}, true],
    [() => true, true],
    [() => false, false],
    [async ({ pid }) => pid === process.pid, true],
    [
      () => {
        throw new Error('no')
      },
      false,
    ],
    [() => Promise.reject(new Error('no')), false],
  ]
  for (const [allow, welcome] of cases) {
    const listening = await listen(path, { allow })
    if (welcome) await closeAll(...(await meet(listening, path)))
    else expect(await codeOf(() => connect(path)), String(allow)).toBe('EPIPE')
    await listening.close()
  }
})

// Needs a second user to be: only root can become one.
test.runIf(process.getuid?.() === 0)('another user is kept out by the mode, and by allow', async () => {
  const nobody = { uid: 65534, gid: 65534 }
  const code = async (address: string) => {
    const args = ['--input-type=module', '-e', knock, addonModule, address]
    const child = spawn(process.execPath, args, { ...nobody, stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' })
    const [word] = (await once(child.stdout, 'data')) as [Buffer]
    await once(child, 'exit')
    return word.toString().trim()
  }
  const { chmodSync } = await import('node:fs')
  chmodSync(directory, 0o755)
  const shut = await listen(path)
  expect(await code(path)).toBe('EACCES')
  await shut.close()
  const byAllow = await listen(path, { mode: 0o666, allow: { uid: 0 } })
  expect(await code(path)).toBe('turned away')
  await byAllow.close()
  const open = await listen(path, { mode: 0o666, allow: ({ uid }) => uid === 65534 })
  expect(await code(path)).toBe('hello')
  const channel = await open.accept()
  expect(channel.peer.uid).toBe(65534)
  await closeAll(channel, open)
})

/** A knock without the library, which another user could perhaps not read. */
const addonModule = join(tmpdir(), `dmabuf-knock-${process.pid}.node`)
const knock = `
  import { createRequire } from 'node:module'
  const [, addonPath, address] = process.argv
  const addon = createRequire('/')(addonPath)
  const { scratch } = addon
  const fd = addon.socket()
  const result = addon.connect(fd, address, false)
  if (result < 0) console.log(result === -13 ? 'EACCES' : String(result))
  else {
    scratch.tx.set(Buffer.from('DMAB\\x01\\x01' + '\\0'.repeat(26), 'latin1'))
    addon.send(fd, 32, 0, true)
    const wait = setInterval(() => {
      const length = addon.receive(fd)
      if (length === -11) return
      clearInterval(wait)
      console.log(length > 0 ? 'hello' : 'turned away')
    }, 2)
  }
`
beforeAll(async () => {
  const { copyFileSync } = await import('node:fs')
  const { describeAddon } = await import('../../src/native/load.ts')
  copyFileSync(describeAddon().path ?? '', addonModule)
})
afterAll(() => rmSync(addonModule))

test('connecting to who accepts and says nothing is ETIMEDOUT', async () => {
  const fd = addon().socket()
  addon().bind(fd, path, false)
  addon().listen(fd, 1)
  const error = await failure(() => connect(path, { timeout: 30 }))
  expect(error.code).toBe('ETIMEDOUT')
  expect(error.message).toContain('30 ms')
  addon().close(fd)
})

test('connecting to a full backlog waits, and can be aborted', async () => {
  const fd = addon().socket()
  addon().bind(fd, path, false)
  addon().listen(fd, 0)
  const blockers = [rawConnect(path)]
  expect(await codeOf(() => connect(path, { timeout: 30 }))).toBe('ETIMEDOUT')
  const controller = new AbortController()
  const connecting = codeOf(() => connect(path, { signal: controller.signal }))
  setImmediate(() => controller.abort())
  expect(await connecting).toBe('ABORT_ERR')
  for (const blocker of blockers) blocker.close()
  addon().close(fd)
})

test('connecting can be aborted while the server is silent', async () => {
  const fd = addon().socket()
  addon().bind(fd, path, false)
  addon().listen(fd, 4)
  const controller = new AbortController()
  const connecting = codeOf(() => connect(path, { signal: controller.signal }))
  setImmediate(() => controller.abort())
  expect(await connecting).toBe('ABORT_ERR')
  expect(await codeOf(() => connect(path, { signal: AbortSignal.abort() }))).toBe('ABORT_ERR')
  addon().close(fd)
})

test('a server of another version is told apart: both versions are named', async () => {
  const fd = addon().socket()
  addon().bind(fd, path, false)
  addon().listen(fd, 4)
  const connecting = failure(() => connect(path))
  const accepted = await until(() => {
    const result = addon().accept(fd)
    return result < 0 ? undefined : result
  }, 'somebody connects')
  using peer = new RawPeer(accepted)
  const bytes = packet({ type: 1 })
  bytes[4] = VERSION + 1
  peer.send(bytes)
  const error = await connecting
  expect(error.code).toBe('EPROTONOSUPPORT')
  expect(error.message).toContain(`version ${VERSION + 1}, this side version ${VERSION}`)
  addon().close(fd)
})

test('strangers who knock and say nothing, or nonsense, do not stop a server', async () => {
  const listening = await listen(path)
  const silent = Array.from({ length: 20 }, () => rawConnect(path))
  const rude = Array.from({ length: 20 }, () => rawConnect(path))
  for (const peer of rude) peer.send(new TextEncoder().encode('nonsense that is longer than any header'))
  for (let count = 0; count < 20; count++) rawConnect(path).close()
  await closeAll(...(await meet(listening, path)))
  await listening.close()
  for (const peer of [...silent, ...rude]) peer.close()
})

test('who said hello, sent and left has still something to tell', async () => {
  const listening = await listen(path)
  const there = await connect(path)
  await there.send('last words')
  await there.close()
  const here = await listening.accept()
  expect((await here.receive()).message).toBe('last words')
  expect((await here.closed).reason).toBe('closed-by-peer')
  await closeAll(here, listening)
})

test('accept and iteration end when the server closes', async () => {
  const listening = await listen(path)
  const waiting = codeOf(() => listening.accept())
  const iterating = (async () => {
    for await (const channel of listening) expect.unreachable(String(channel))
  })()
  await listening.close()
  await listening.close()
  expect(await waiting).toBe('EBADF')
  await iterating
  expect(await codeOf(() => listening.accept())).toBe('EBADF')
})

test('a signal closes a server, and takes a waiting accept out', async () => {
  const controller = new AbortController()
  const listening = await listen(path, { signal: controller.signal })
  expect(await codeOf(() => listening.accept({ signal: AbortSignal.abort() }))).toBe('ABORT_ERR')
  controller.abort()
  expect(await codeOf(() => listening.accept())).toBe('EBADF')
  expect(existsSync(path)).toBe(false)
  expect(await codeOf(() => listen(path, { signal: controller.signal }))).toBe('ABORT_ERR')
})

test('the file of a successor is not removed', async () => {
  const first = await listen(path)
  rmSync(path)
  const second = await listen(path)
  await first.close()
  expect(existsSync(path)).toBe(true)
  await closeAll(...(await meet(second, path)), second)
})

test('the longest path that an address can have is listened on', async () => {
  const long = join(directory, 'x'.repeat(107 - directory.length - 1))
  const listening = await listen(long)
  await closeAll(...(await meet(listening, long)), listening)
  expect(existsSync(long)).toBe(false)
})

test('wrong options of listen and connect are refused', async () => {
  const wrong: Record<string, unknown>[] = [
    { mode: -1 },
    { mode: 0o1000 },
    { mode: '600' },
    { allow: 7 },
    { allow: { uid: -1 } },
    { allow: { user: 0 } },
    { backlog: 0 },
    { signal: {} },
    { trust: 'blind' },
    { modus: 0o600 },
  ]
  for (const options of wrong)
    expect(await codeOf(() => listen(path, options)), JSON.stringify(options)).toBe('EINVAL')
  for (const options of [{ timeout: 0 }, { timeout: 1.5 }, { signal: 1 }, { trust: 1 }, { retry: true }]) {
    expect(await codeOf(() => Reflect.apply(connect, undefined, [path, options]))).toBe('EINVAL')
  }
  expect(existsSync(path)).toBe(false)
})
