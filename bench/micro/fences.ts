/**
 * `fences.ts [CORE CORE SECONDS]`: from the signal of a fence in one process to whoever waits for it in another, against two
 * C programs that wake each other by eventfds on the same cores. Prints one JSON object.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Channel, forkWithChannel, SyncFile, Timeline } from '../../dist/index.js'
import { coresFor, pinSelf } from '../lib/pin.ts'
import { median, quantile } from '../lib/stats.ts'

/** Fences of one message. */
const BATCH = 32
const ROUNDS = 10_000

/** Nanoseconds of one way, each sample the mean of a hundredth of the rounds. */
function eventfds(first: number, second: number): number[] {
  const directory = mkdtempSync(join(tmpdir(), 'dmabuf-bench-'))
  try {
    const program = join(directory, 'eventfd')
    const source = fileURLToPath(new URL('./eventfd.c', import.meta.url))
    execFileSync('cc', ['-O2', '-Wall', '-o', program, source], { stdio: 'pipe' })
    const output = execFileSync(program, [String(first), String(second), String(ROUNDS)], {
      encoding: 'utf8',
    })
    return output.trim().split('\n').map(Number)
  } finally {
    rmSync(directory, { recursive: true })
  }
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

async function fences(channel: Channel, seconds: number): Promise<number[]> {
  const timeline = new Timeline('question')
  const samples: number[] = []
  const until = performance.now() + seconds * 1000
  const warm = performance.now() + 500
  while (performance.now() < until + 500) {
    const { mine, theirs } = await exchange(channel, timeline)
    for (const [index, { fence }] of mine.entries()) {
      const from = process.hrtime.bigint()
      timeline.signal(fence)
      await theirs[index]!.wait()
      if (performance.now() > warm) samples.push(Number(process.hrtime.bigint() - from) / 2)
    }
    for (const file of [...mine, ...theirs]) file.close()
  }
  return samples
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
  const floor = eventfds(first, second)
  const { child, channel } = forkWithChannel(new URL(import.meta.url), ['answer', String(second)], {
    execArgv: process.execArgv,
  })
  pinSelf(first)
  const samples = await fences(channel, seconds)
  await channel.close()
  child.kill()
  const figures = (all: readonly number[]) => ({
    leastNs: quantile(all, 0.05),
    medianNs: median(all),
    p99Ns: quantile(all, 0.99),
  })
  const times = median(samples) / median(floor)
  console.log(
    JSON.stringify({ cores: [first, second], eventfd: figures(floor), fence: figures(samples), times }),
  )
}
