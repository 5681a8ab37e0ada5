/**
 * `guard.ts CORE SECONDS SIZE`: what a bracket costs with the guard on, in a process of its own; and what it costs with the guard
 * off, in a process that never had it on beside one in which it was turned on and off again.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { guard, SystemHeap } from '../../dist/index.js'
import { micros } from '../lib/micro.ts'
import { pinSelf } from '../lib/pin.ts'
import { median } from '../lib/stats.ts'
import type { GuardCosts, GuardOff, Guards } from '../types.ts'

const TURNS = 15
const heap = new SystemHeap()

async function costs(
  size: number,
  seconds: number,
  hugePages: 'transparent' | undefined,
): Promise<GuardCosts> {
  using buffer = heap.allocateSync(size, { prefault: true, ...(hugePages && { hugePages }) })
  const bracket = () => buffer.beginCpuAccessSync('write').end()
  const touch = () => {
    const cpu = buffer.beginCpuAccessSync('write')
    cpu.bytes.fill(1)
    cpu.end()
  }
  touch()
  const off = await micros(seconds, bracket)
  guard({ report: false })
  const on = await micros(seconds, bracket)
  guard({ report: false, stacks: false })
  const withoutStacks = await micros(seconds, bracket)
  const filled = await micros(seconds, touch)
  guard({ mode: 'off', report: false })
  const filledOff = await micros(seconds, touch)
  return { off, on, withoutStacks, filled, filledOff }
}

/** Nanoseconds of a bracket for so many seconds, whenever asked to. */
function takeTurns(had: boolean): void {
  const buffer = heap.allocateSync(8 << 20)
  const bracket = () => buffer.beginCpuAccessSync('write').end()
  if (had) {
    guard({ report: false })
    for (let i = 0; i < 1000; i++) bracket()
    guard({ mode: 'off', report: false })
  }
  process.on('message', async (seconds: number) => {
    process.send?.((await micros(seconds, bracket)).median * 1000)
  })
}

async function turnedOff(core: string, seconds: number): Promise<GuardOff> {
  const start = (role: string) => fork(fileURLToPath(import.meta.url), [core, role])
  const [never, again] = [start('never'), start('again')]
  const ask = async (child: ChildProcess) => {
    child.send(seconds / TURNS)
    const [nanos] = (await once(child, 'message')) as [number]
    return nanos
  }
  const turns = []
  // The first turn warms both up.
  for (let turn = 0; turn <= TURNS; turn++) turns.push({ never: await ask(never), again: await ask(again) })
  turns.shift()
  never.disconnect()
  again.disconnect()
  return {
    neverNs: median(turns.map(({ never }) => never)),
    offAgainNs: median(turns.map(({ again }) => again)),
    times: median(turns.map(({ never, again }) => again / never)),
  }
}

const [core = '0', role = '1', bytes = '25165824'] = process.argv.slice(2)
pinSelf(Number(core))
if (role === 'never' || role === 'again') takeTurns(role === 'again')
else {
  const [seconds, size] = [Number(role), Number(bytes)]
  const figures: Guards = {
    size,
    off: await turnedOff(core, seconds),
    small: await costs(size, seconds, undefined),
    transparent: await costs(size, seconds, 'transparent'),
  }
  if (process.send === undefined) console.log(JSON.stringify(figures, undefined, 2))
  else process.send(figures)
}
