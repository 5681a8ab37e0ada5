import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { planesToRgba, rgbaToPlanes } from '../../examples/demo/lib/colour.ts'
import { readPng, writePng } from '../../examples/demo/lib/png.ts'
import { formatHeader, frameDataBytes, parseHeader, type Y4mHeader } from '../../examples/demo/lib/y4m.ts'
import { DemoRun, expectedCard, expectedLens, stageRow } from './demo-run.ts'

const TIMEOUT = 60_000
const size = { width: 160, height: 120 }
const small = ['--size', '160x120']

let folder = ''
let runs: DemoRun[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'demo-test-'))
  runs = []
})

afterEach(() => {
  for (const run of runs) run.end()
  rmSync(folder, { recursive: true })
})

function start(...args: string[]): DemoRun {
  const run = new DemoRun(args)
  runs.push(run)
  return run
}

/** Runs to the good end and gives what was printed. */
async function play(...args: string[]): Promise<string> {
  const run = start(...args)
  const { status, out, err } = await run.result()
  expect({ status, err }, out).toEqual({ status: 0, err: '' })
  expect(run.leftovers()).toEqual([])
  return out
}

function readFilm(path: string): { header: Y4mHeader; frames: Uint8Array[] } {
  const file = new Uint8Array(readFileSync(path))
  const { header, byteLength } = parseHeader(file)!
  const frames: Uint8Array[] = []
  const step = 'FRAME\n'.length + frameDataBytes(header)
  for (let at = byteLength; at < file.length; at += step) {
    expect(Buffer.from(file.subarray(at, at + 6)).toString()).toBe('FRAME\n')
    frames.push(file.subarray(at + 6, at + step))
  }
  expect(byteLength + frames.length * step).toBe(file.length)
  return { header, frames }
}

const checksumOf = (out: string) => /film checksum ([0-9a-f]{8})/.exec(out)?.[1]

describe('npm run demo', { timeout: TIMEOUT }, () => {
  test('the last frame arrives as it must be, without a copied byte, in place or in a second buffer', async () => {
    const [first, second] = [join(folder, 'first.png'), join(folder, 'second.png')]
    const out = await play(...small, '--frames', '12', '--out', first)
    expect(readPng(readFileSync(first), first)).toEqual({ ...size, rgba: expectedCard(size, 11) })
    expect(out).toContain(`written: ${first}`)
    for (const stage of ['source', 'filter', 'sink']) {
      const [frames, , copied] = stageRow(out, stage)
      expect([stage, frames, copied]).toEqual([stage, '12', '0 B'])
    }

    const again = await play(...small, '--frames', '12', '--out', second, '--second-buffer')
    expect(readFileSync(second)).toEqual(readFileSync(first))
    expect(checksumOf(again)).toBe(checksumOf(out))
    // The part of the picture that the filter leaves alone has to get into the second buffer somehow.
    expect(stageRow(again, 'filter')[2]).toBe('75.0 KiB')
  })

  test('a PNG file', async () => {
    const [from, to] = [join(folder, 'in.png'), join(folder, 'out.png')]
    const picture = { width: 61, height: 47 }
    const rgba = Uint8Array.from({ length: 61 * 47 * 4 }, (_, at) => (at * 7919) >> 3)
    writeFileSync(from, writePng({ ...picture, rgba }))
    await play(from, '--frames', '5', '--out', to)
    expect(readPng(readFileSync(to), to)).toEqual({ ...picture, rgba: expectedLens(rgba, picture, 4) })
  })

  test.each(['420jpeg', '444'] as const)('a Y4M film, C%s: every frame, in order', async (chroma) => {
    const [from, to] = [join(folder, 'in.y4m'), join(folder, 'out.y4m')]
    const header: Y4mHeader = { width: 50, height: 37, rate: [24000, 1001], chroma, range: 'limited' }
    const frames = Array.from({ length: 9 }, (_, frame) =>
      Uint8Array.from({ length: frameDataBytes(header) }, (_, at) => 60 + ((at * 31 + frame * 50) % 130)),
    )
    const parts = frames.flatMap((frame) => [Buffer.from('FRAME\n'), frame])
    writeFileSync(from, Buffer.concat([formatHeader(header), ...parts]))
    await play(from, '--out', to)

    const film = readFilm(to)
    expect(film.header).toEqual(header)
    const expected = frames.map((planes, frame) => {
      const rgba = new Uint8Array(50 * 37 * 4)
      planesToRgba(planes, rgba, header, chroma)
      const result = new Uint8Array(planes.length)
      rgbaToPlanes(expectedLens(rgba, header, frame), result, header, chroma)
      return result
    })
    expect(film.frames).toEqual(expected)
  })

  test('measures the memory that is really shared', async () => {
    const out = await play(
      '--size',
      '640x360',
      '--frames',
      '60',
      '--fps',
      '40',
      '--out',
      join(folder, 'a.png'),
    )
    const [, used, usedUnit, copies, copiesUnit] =
      /([\d.]+) (\w+) of memory really used; ([\d.]+) (\w+) if each/.exec(out) ?? []
    expect([usedUnit, copiesUnit]).toEqual(['MiB', 'MiB'])
    expect(Number(used)).toBeLessThan(Number(copies))
  })
})

describe('ending the demo early', { timeout: TIMEOUT }, () => {
  const endless = [...small, '--frames', '100000', '--fps', '40']

  test('Ctrl-C (SIGINT to the group) ends the film with a whole frame', async () => {
    const to = join(folder, 'out.y4m')
    const run = start(...endless, '--out', to)
    await run.playing()
    process.kill(-run.pid, 'SIGINT')
    // As npm does, which hands on what the terminal has sent to everybody.
    process.kill(run.pid, 'SIGINT')
    const { status, out, err } = await run.result()
    expect({ status, err }, out).toEqual({ status: 130, err: '' })
    expect(run.leftovers()).toEqual([])
    expect(readdirSync(folder)).toEqual(['out.y4m'])
    const { frames } = readFilm(to)
    expect(stageRow(out, 'sink')[0]).toBe(String(frames.length))
    expect(stageRow(out, 'source')[0]).toBe(String(frames.length))
  })

  test('SIGTERM to the parent alone does the same', async () => {
    const to = join(folder, 'out.png')
    const run = start(...endless, '--out', to)
    await run.playing()
    process.kill(run.pid, 'SIGTERM')
    const { status, out } = await run.result()
    expect(status, out).toBe(130)
    expect(run.leftovers()).toEqual([])
    const frames = Number(stageRow(out, 'sink')[0])
    expect(readPng(readFileSync(to), to).rgba).toEqual(expectedCard(size, frames - 1))
  })

  test.each(['source', 'filter', 'sink'])(
    'a killed %s ends it with a message; an older file stays',
    async (stage) => {
      const to = join(folder, 'out.y4m')
      writeFileSync(to, 'older')
      const run = start(...endless, '--out', to)
      await run.playing()
      const pid = run.stage(stage)
      process.kill(pid, 'SIGKILL')
      const { status, out, err } = await run.result()
      expect(status, out).toBe(1)
      expect(err).toContain(`the ${stage} process (${pid}) was killed by SIGKILL`)
      expect(out).toContain('copied/frame')
      expect(run.leftovers()).toEqual([])
      expect(readdirSync(folder)).toEqual(['out.y4m'])
      expect(readFileSync(to, 'latin1').slice(0, 40)).toBe('older')
    },
  )

  test('a killed parent leaves nobody behind', async () => {
    const run = start(...endless, '--out', join(folder, 'out.y4m'))
    await run.playing()
    process.kill(run.pid, 'SIGKILL')
    await expect.poll(() => run.leftovers(), { timeout: 10_000 }).toEqual([])
    await expect.poll(() => readdirSync(folder)).toEqual([])
  })
})

describe('what cannot be played', { timeout: TIMEOUT }, () => {
  test('a damaged file and a missing one', async () => {
    const bad = join(folder, 'bad.y4m')
    writeFileSync(bad, 'YUV4MPEG2 W4 H4 C420\nFRAME\nshort')
    const damaged = await start(bad, '--out', join(folder, 'a.png')).result()
    expect(damaged.status).toBe(1)
    expect(damaged.err).toContain('ends in the middle of frame 0')
    const missing = await start(join(folder, 'none.png'), '--out', join(folder, 'a.png')).result()
    expect(missing.status).toBe(1)
    expect(missing.err).toContain('ENOENT')
    expect(readdirSync(folder)).toEqual(['bad.y4m'])
  })

  test('a slip on the command line', async () => {
    const { status, err } = await start('--frames', 'many').result()
    expect({ status, err }).toEqual({ status: 2, err: expect.stringContaining('--frames takes a number') })
    expect((await start('--help').result()).out).toContain('Usage: npm run demo')
  })
})
