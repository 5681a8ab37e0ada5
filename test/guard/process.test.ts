import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { bufinfo, guard, SystemHeap } from '../../src/index.ts'
import { trap } from '../children/wasm-trap.ts'
import { typescriptWorker } from '../support/typescript-worker.ts'

afterAll(() => guard({ mode: 'off', report: false }))

const root = new URL('../../', import.meta.url).pathname

interface Ended {
  readonly status: number
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
}

function run(file: string, environment: Record<string, string>): Promise<Ended> {
  const options = { cwd: root, timeout: 110_000, env: { ...process.env, ...environment } }
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', ...file.split(' ')], options, (error, stdout, stderr) => {
      resolve({ status: Number(error?.code ?? 0), signal: error?.signal ?? undefined, stdout, stderr })
    })
  })
}

const faults = 'test/children/guard-faults.ts'

test('without a guard the same program runs as if nothing was wrong', async () => {
  expect(await run(faults, {})).toMatchObject({ status: 0, stdout: ' -1\n', stderr: '' })
})

test('DMABUF_GUARD=1 lists the violations at exit, those that are alike together', async () => {
  const { status, stdout, stderr } = await run(faults, { DMABUF_GUARD: '1', READ: '1' })
  expect([status, stdout]).toEqual([0, '3 -1\n0\n'])
  // Numbers of lines are what is left of a frame.
  const lines = stderr
    .replaceAll(/==\d+==/g, '==PID==')
    .replaceAll(/at (draw|<anonymous>)? ?\(?\S+guard-faults\.ts:(\d+):\d+\)?/g, 'at $2')
  expect(lines.split('\n')).toEqual([
    '==PID== dmabuf guard: 4 violations of CPU access brackets',
    '',
    "#1 write to buffer 'frame' outside any bracket, at byte 0, 3 times, first by the main thread, exporter",
    '    last begin: at 9',
    '        at 15',
    '    last end: at 11',
    '        at 15',
    '    noticed (approximate): at 9',
    '        at 18',
    '',
    "#2 read of buffer 'frame' outside any bracket, at byte 8191 by the main thread, exporter",
    '    last begin: at 20',
    '    last end: at 22',
    '    noticed (approximate): at the end of the turn',
    '',
    'SUMMARY: dmabuf guard: 4 violations, 1 buffer',
    '',
  ])
}, 60_000)

test('the hunt in docs/guard.md is a real one', async () => {
  const text = readFileSync(`${root}docs/guard.md`, 'utf8')
  const { status, stdout, stderr } = await run('examples/guard-hunt.ts', { DMABUF_GUARD: '1' })
  expect(status).toBe(0)
  expect(text).toContain(stdout)
  expect(text).toContain(stderr.replaceAll(root, '').replaceAll(/==\d+==/g, '==PID=='))
  const mended = await run('examples/guard-hunt.ts mended', { DMABUF_GUARD: '1' })
  expect(mended).toMatchObject({ status: 0, stdout, stderr: '' })
}, 60_000)

test('a program that is ended by a signal reports before it, and ends by it', async () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    const { signal: by, stderr } = await run(`test/children/guard-signals.ts ${signal}`, {
      DMABUF_GUARD: '1',
    })
    expect([by, stderr.match(/SUMMARY.*/)?.[0]]).toEqual([
      signal,
      'SUMMARY: dmabuf guard: 1 violation, 1 buffer',
    ])
  }
}, 60_000)

test('a program that listens to a signal is alone with it', async () => {
  const own = await run('test/children/guard-signals.ts SIGTERM own', { DMABUF_GUARD: '1' })
  expect([own.signal, own.status, own.stdout]).toEqual([undefined, 7, '1 heard 1\n'])
  expect(own.stderr.match(/SUMMARY/g)).toHaveLength(1)
  // As the package signal-exit does: it ends the process by the signal when nobody else listens.
  const again = await run('test/children/guard-signals.ts SIGTERM raise', { DMABUF_GUARD: '1' })
  expect([again.signal, again.stdout]).toEqual(['SIGTERM', '1 heard 1\n'])
  expect(again.stderr.match(/SUMMARY/g)).toHaveLength(1)
}, 60_000)

test('DMABUF_GUARD=fatal ends the process at the next bracket, with a status of its own', async () => {
  const { status, stdout, stderr } = await run(faults, { DMABUF_GUARD: 'fatal' })
  expect([status, stdout]).toEqual([70, ''])
  expect(stderr).toContain("#1 write to buffer 'frame' outside any bracket, at byte 0")
  expect(stderr).toContain('SUMMARY: dmabuf guard: 1 violation, 1 buffer')
}, 60_000)

test('DMABUF_GUARD=throw throws from the next bracket', async () => {
  const { status, stderr } = await run(faults, { DMABUF_GUARD: 'throw' })
  expect(status).toBe(1)
  expect(stderr).toContain("ERR_DMABUF_GUARD: write to buffer 'frame' outside any bracket, at byte 0")
}, 60_000)

test('a value that is no mode is taken for 1, with a warning', async () => {
  const { stdout, stderr } = await run(faults, { DMABUF_GUARD: 'yes' })
  expect(stdout).toBe('3 -1\n')
  expect(stderr).toContain('DMABUF_GUARD=yes is none of 0, 1, report, throw, fatal, off; taken for 1')
}, 60_000)

test('a hundred thousand violations through brackets are all counted', async () => {
  const { status, stdout, stderr } = await run(faults, { DMABUF_GUARD: '1', TIMES: '100000' })
  expect([status, stdout.split(' ')[0]]).toEqual([0, '100000'])
  expect(stderr).toContain(', 100000 times, first by the main thread')
}, 120_000)

test.each(['two-processes', 'worker', 'from-fd', 'recorder'])(
  'the example %s runs as before under DMABUF_GUARD=fatal',
  async (name) => {
    const file = `examples/${name}.ts`
    const [plain, guarded] = [await run(file, {}), await run(file, { DMABUF_GUARD: 'fatal' })]
    const sorted = (text: string) => text.split('\n').sort()
    expect(guarded.stderr).toBe('')
    expect([guarded.status, sorted(guarded.stdout)]).toEqual([0, sorted(plain.stdout)])
  },
  120_000,
)

test('worker threads have guards of their own, all at the same time', async () => {
  const module = new URL('../children/guard-faults.ts', import.meta.url)
  const env = { ...process.env, DMABUF_GUARD: '1', TIMES: '2000' }
  const printed = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const worker = typescriptWorker(module, { env, stdout: true, stderr: true })
      worker.stderr.resume()
      let text = ''
      worker.stdout.on('data', (chunk) => {
        text += String(chunk)
      })
      await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))
      return text
    }),
  )
  expect(printed.map((text) => text.split(' ')[0])).toEqual(['2000', '2000', '2000', '2000'])
}, 60_000)

test('a worker is terminated in the middle of its violations, while others have theirs and WebAssembly traps', async () => {
  const module = new URL('../children/guard-unending.ts', import.meta.url)
  using buffer = new SystemHeap().allocateSync(8192)
  guard({ report: false })
  const bytes = buffer.withCpuAccessSync('write', (cpu) => cpu.bytes)
  for (let times = 0; times < 5; times++) {
    const worker = typescriptWorker(module, {})
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    let ended = false
    const end = worker.terminate().then(() => {
      ended = true
    })
    while (!ended) {
      bytes[times] = 1
      trap()
      buffer.beginCpuAccessSync('read').end()
      await new Promise(setImmediate)
    }
    await end
  }
  expect([...bytes.subarray(0, 5)]).toEqual([1, 1, 1, 1, 1])
  expect(bufinfo()).toHaveLength(1)
}, 60_000)
