/**
 * `fences.ts CORE CORE SECONDS`: from the signal of a fence in one process to whoever waits for it in another, against two
 * C programs that wake each other by eventfds on the same cores. The two are measured in turns, so that a disturbance meets
 * both of them or one turn only.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Channel, forkWithChannel, SyncFile, Timeline } from '../../dist/index.js'
import { figures } from '../lib/micro.ts'
import { coresFor, pinSelf } from '../lib/pin.ts'
import { median } from '../lib/stats.ts'
import type { Wakeups } from '../types.ts'

/** Fences of one message. */
const BATCH = 32
const TURNS = 5
const EVENTFD_ROUNDS = 3000

function compileEventfd(directory: string): string {
  const program = join(directory, 'eventfd')
  const source = fileURLToPath(new URL('./eventfd.c', import.meta.url))
  execFileSync('cc', ['-O2', '-Wall', '-o', program, source], { stdio: 'pipe' })
  return program
}

/** Fences of this side, sent, and those of the other, received. */
async function exchange(channel: Channel, timeline: Timeline) {
  const mine = Array.from({ length: BATCH }, () => SyncFile.from(timeline.createFence()))
  await channel.send(null, [], { fences: mine })
  const { fences: theirs } = await channel.receive()
  return { mine, theirs }
}

/** The other side: signals back as soon as it is woken. */
async function answer(channel: Channel): Promise<void> {
  const timeline = new Timeline('answer')
  for (;;) {
    const { mine, theirs } = await exchange(channel, timeline)
    for (const [index, file] of theirs.entries()) {
      await file.wait()
      timeline.signal(mine[index]!.fence)
    }
    for (const file of [...mine, ...theirs]) file.close()
  }
}

/** Microseconds of one way. */
async function fences(channel: Channel, timeline: Timeline, seconds: number): Promise<number[]> {
  const samples: number[] = []
  const until = performance.now() + seconds * 1000
  while (samples.length === 0 || performance.now() < until) {
    const { mine, theirs } = await exchange(channel, timeline)
    for (const [index, { fence }] of mine.entries()) {
      const from = performance.now()
      timeline.signal(fence)
      await theirs[index]!.wait()
      samples.push(((performance.now() - from) * 1000) / 2)
    }
    for (const file of [...mine, ...theirs]) file.close()
  }
  return samples
}

async function measure(first: number, second: number, seconds: number): Promise<Wakeups> {
  const directory = mkdtempSync(join(tmpdir(), 'dmabuf-bench-'))
  const { child, channel } = forkWithChannel(new URL(import.meta.url), ['answer', String(second)], {
    execArgv: process.execArgv,
  })
  try {
    const eventfd = compileEventfd(directory)
    const floor = () =>
      execFileSync(eventfd, [first, second, EVENTFD_ROUNDS].map(String), { encoding: 'utf8' })
        .trim()
        .split('\n')
        .map((line) => Number(line) / 1000)
    pinSelf(first)
    const timeline = new Timeline('question')
    // Also warms both up.
    await fences(channel, timeline, 0.3)
    const turns = []
    for (let turn = 0; turn < TURNS; turn++) {
      turns.push({ eventfd: floor(), fence: await fences(channel, timeline, seconds / TURNS) })
    }
    return {
      cores: { producer: first, consumer: second },
      eventfd: figures(turns.flatMap((turn) => turn.eventfd)),
      fence: figures(turns.flatMap((turn) => turn.fence)),
      times: median(turns.map((turn) => median(turn.fence) / median(turn.eventfd))),
    }
  } finally {
    rmSync(directory, { recursive: true })
    await channel.close()
    child.kill()
  }
}

const [, , role, ...rest] = process.argv
if (role === 'answer') {
  pinSelf(Number(rest[0]))
  await answer(Channel.parent()).catch(() => process.exit(0))
} else {
  const cores = coresFor('different') ?? coresFor('same')!
  const [first = cores.producer, second = cores.consumer, seconds = 2] = [role, ...rest].map((text) =>
    text === undefined ? undefined : Number(text),
  )
  const wakeups = await measure(first, second, seconds)
  if (process.send === undefined) console.log(JSON.stringify(wakeups))
  else process.send(wakeups)
}
