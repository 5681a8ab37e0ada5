import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url).pathname
const run = promisify(execFile)

/** What an example prints; rejects unless it ends with 0. Lines of different processes come in any order. */
async function lines(name: string): Promise<string[]> {
  const { stdout, stderr } = await run(process.execPath, ['--import', 'tsx', `examples/${name}.ts`], {
    cwd: root,
    timeout: 50_000,
  })
  expect(stderr).toBe('')
  return stdout.trim().split('\n')
}

test('two-processes: the reader sees the picture, and the writer what the reader wrote', async () => {
  expect(await lines('two-processes')).toEqual([
    'reader: { width: 3840, height: 2160 } 33177600 bytes of 42',
    'writer: the first byte is 43 now',
  ])
}, 60_000)

test('worker: the thread adds up every block', async () => {
  const sums = [0, 1, 2, 3].map((block) => `main: { block: ${block}, sum: ${block * 2 ** 20} }`)
  expect(await lines('worker')).toEqual(sums)
}, 60_000)

test('from-fd: memory of other programs is read', async () => {
  expect(await lines('from-fd')).toEqual(['19 bytes: hello from /dev/shm', '4096 bytes: hello from a python'])
}, 60_000)

test('own-exporter: release comes when the last holder has let go', async () => {
  const printed = await lines('own-exporter')
  expect(printed.toSorted()).toEqual([
    'exporter: nobody has it any more, the camera gets it back',
    'exporter: sent and closed',
    'exporter: the viewer has it',
    "viewer: 'frame' of 'camera' ends in 255",
  ])
  const order = [
    'exporter: sent and closed',
    'exporter: the viewer has it',
    'exporter: nobody has it any more',
  ]
  const exporter = printed.filter((line) => line.startsWith('exporter'))
  expect(exporter.map((line) => line.split(',')[0])).toEqual(order)
}, 60_000)

test('recorder: an encoder joins in mid-stream, under three policies', async () => {
  const done = '12 frames shown, 6 recorded'
  expect(await lines('recorder')).toEqual([
    `new buffers: ${done}; 6 buffers, 0 moves, 0 bytes copied`,
    `attach early: ${done}; 3 buffers, 0 moves, 0 bytes copied`,
    `migrate: ${done}; 3 buffers, 3 moves, ${3 * 1920 * 1080 * 2} bytes copied`,
  ])
}, 60_000)

test('eviction: more pictures than memory are all shown as they were drawn', async () => {
  // Five are there at first; after them each one that is shown was not, and takes the place of another.
  const moves = 3 * 12 - 5
  const moved = (2 * moves * 640 * 360 * 4) / 2 ** 20
  expect(await lines('eviction')).toEqual([
    '12 pictures in memory for 5: 36 of 36 shown as they were drawn',
    `${moves} evictions, ${moves} recalls, ${moved} MiB moved`,
  ])
}, 60_000)
