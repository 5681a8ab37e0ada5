import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readPng } from '../../examples/demo/lib/png.ts'
import { drawTestCard } from '../../examples/demo/lib/test-card.ts'

const root = new URL('../../', import.meta.url).pathname
const run = promisify(execFile)

/** What an example prints; rejects unless it ends with 0. Lines of different processes come in any order. */
async function lines(name: string, ...args: string[]): Promise<string[]> {
  const command = ['--import', 'tsx', `examples/${name}.ts`, ...args]
  const { stdout, stderr } = await run(process.execPath, command, { cwd: root, timeout: 50_000 })
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

test('own-exporter: its ops are asked for devices of another process, and release comes at the end', async () => {
  const printed = await lines('own-exporter')
  const of = (who: string) => printed.filter((line) => line.startsWith(`${who}: `))
  expect(of('display')).toEqual([
    'display: EINVAL contiguous, no contiguous memory for vc4',
    "display: 'frame' of 'camera' ends in 7",
  ])
  expect(of('camera')).toEqual([
    'camera: the frame ends in 7',
    'camera: CPU access has ended',
    'camera: display attached',
    'camera: mapped to-device by display',
    'camera: unmapped by display',
    'camera: display detached',
    'camera: nobody has it any more',
  ])
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

test.each(['chart', 'chart-cpu'])(
  '%s: a real run is the chart of the documentation',
  async (name) => {
    const { stdout } = await run(process.execPath, ['--import', 'tsx', `examples/${name}.ts`], { cwd: root })
    expect(readFileSync(join(root, 'docs/exporters.md'), 'utf8')).toContain(stdout)
  },
  60_000,
)

/** Runs an example that writes a picture, and returns what is wrong with it: how many bytes are not those of the test card. */
async function wrongPixels(name: string, frame: number): Promise<{ printed: string[]; wrong: number }> {
  const directory = mkdtempSync('/tmp/dmabuf-flow-')
  try {
    const file = join(directory, 'picture.png')
    const printed = await lines(name, file)
    const { width, height, rgba } = readPng(readFileSync(file), file)
    const card = new Uint8Array(640 * 480 * 4)
    drawTestCard(card, { width: 640, height: 480 }, frame)
    expect([width, height]).toEqual([640, 480])
    return { printed, wrong: rgba.filter((byte, at) => byte !== card[at]).length }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const memory = expect.stringMatching(
  /^memory: the processes map \d+ KiB and \d+ KiB; there are \d+ KiB of it$/,
)

test('vmemexp-flow-a: a display shows what another process has drawn into its memory', async () => {
  const { printed, wrong } = await wrongPixels('vmemexp-flow-a', 0)
  expect(wrong).toBe(0)
  expect(printed).toEqual([
    "source: drawn into 'card0 640x480x32', checksum a1339ecf",
    'display: 640x480 AB24, checksum a1339ecf',
    memory,
    'copied: 0 bytes',
  ])
}, 60_000)

test('vmemexp-flow-b: a display shows an ArrayBuffer of another process, while it changes', async () => {
  const { printed, wrong } = await wrongPixels('vmemexp-flow-b', 25)
  expect(wrong).toBe(0)
  const begins = expect.stringMatching(
    /^source: drew picture 0, checksum a1339ecf; it begins \d+ bytes into a page$/,
  )
  expect(printed).toEqual([
    begins,
    'display: 640x480 AB24, checksum a1339ecf',
    'source: drew picture 25, checksum 75fee6',
    'display: 640x480 AB24, checksum 75fee6',
    memory,
    'copied after the export: 0 bytes',
  ])
}, 60_000)
