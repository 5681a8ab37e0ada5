import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, renameSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expectedSum, slotsFor } from '../lib/frames.ts'
import type { Start, TripKind } from '../types.ts'

const source = fileURLToPath(new URL('../floor.c', import.meta.url))
const folder = fileURLToPath(new URL('../results/', import.meta.url))
const program = `${folder}floor`

/** To be called once before the first start; throws when there is no C compiler. */
export function compileFloor(): void {
  mkdirSync(folder, { recursive: true })
  // Renamed into place, because another run may be executing the old one.
  const fresh = `${program}.${process.pid}`
  execFileSync('cc', ['-O2', '-Wall', '-o', fresh, source], { stdio: 'pipe' })
  renameSync(fresh, program)
}

interface Lines {
  pids?: number[]
  micros?: number[]
  seconds?: number
  cpuSeconds?: number
  sum?: number
}

function run(args: readonly (string | number)[], onPids: (pids: readonly number[]) => void): Promise<Lines> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    let told = false
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part
      if (told || !text.includes('\n')) return
      told = true
      onPids((JSON.parse(text.slice(0, text.indexOf('\n'))) as Lines).pids ?? [])
    })
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(text.trim().split('\n').at(-1)!))
      else reject(new Error(`floor ${args.join(' ')} ended with ${code}`))
    })
  })
}

const modes: Readonly<Record<TripKind, string>> = { handover: 'roundtrip-known', new: 'roundtrip-new' }

export const start: Start = async ({ size, depth, cores, onPids }) => {
  const tail = [cores.producer, cores.consumer]
  return {
    async roundTrip(kind, count) {
      const { micros } = await run([modes[kind], count, size, 1, 'page', ...tail], onPids)
      return micros ?? []
    },
    async stream(frames, touch) {
      const figures = await run(['stream', frames, size, slotsFor(depth), touch, ...tail], onPids)
      if (((figures.sum ?? 0) | 0) !== expectedSum(frames)) throw new Error('the floor read a wrong sum')
      return { seconds: figures.seconds ?? 0, cpuSeconds: figures.cpuSeconds ?? 0 }
    },
    async stop() {},
  }
}
