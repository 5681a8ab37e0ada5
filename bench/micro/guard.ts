/** `guard.ts CORE SECONDS SIZE`: what a bracket costs with the guard off and on, in a process of its own. */
import { guard, SystemHeap } from '../../dist/index.js'
import { micros } from '../lib/micro.ts'
import { pinSelf } from '../lib/pin.ts'

const [core = '0', seconds = '1', bytes = '25165824'] = process.argv.slice(2)
const size = Number(bytes)
pinSelf(Number(core))
const heap = new SystemHeap()
const kinds = { small: undefined, transparent: 'transparent' } as const

/** Microseconds of begin and end, and of a touch that is caught and the turn that closes the buffer again. */
async function measure(hugePages: 'transparent' | undefined) {
  using buffer = heap.allocateSync(size, { prefault: true, ...(hugePages && { hugePages }) })
  const bracket = () => buffer.beginCpuAccessSync('write').end()
  const touch = () => {
    const cpu = buffer.beginCpuAccessSync('write')
    cpu.bytes.fill(1)
    cpu.end()
  }
  touch()
  const off = await micros(Number(seconds), bracket)
  guard({ report: false })
  const on = await micros(Number(seconds), bracket)
  guard({ report: false, stacks: false })
  const withoutStacks = await micros(Number(seconds), bracket)
  const filled = await micros(Number(seconds), touch)
  guard({ mode: 'off', report: false })
  const filledOff = await micros(Number(seconds), touch)
  return { off, on, withoutStacks, filled, filledOff }
}

const figures: Record<string, Awaited<ReturnType<typeof measure>>> = {}
for (const [name, hugePages] of Object.entries(kinds)) figures[name] = await measure(hugePages)
if (process.send === undefined) console.log(JSON.stringify(figures, undefined, 2))
else process.send(figures)
