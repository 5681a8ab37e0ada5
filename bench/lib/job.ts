import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Figures, Job, JobMessage } from '../types.ts'
import { MemoryWatch } from './memory.ts'

const producer = fileURLToPath(new URL('../producer.ts', import.meta.url))

/** Far more than any job takes; a hung peer must not hang the benchmark. */
const LIMIT_MS = 180_000

/** Measures one job in fresh processes; rejects when the peer fails. */
export function runJob(job: Job): Promise<Figures> {
  return new Promise((resolve, reject) => {
    const child = fork(producer, [JSON.stringify(job)])
    const watch = new MemoryWatch()
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`no result within ${LIMIT_MS / 1000} s`))
    }, LIMIT_MS)
    let outcome: Figures | Error | undefined

    child.on('message', (message: JobMessage) => {
      if (message.type === 'pids') watch.pids = message.pids
      else if (message.type === 'idle') watch.markIdle()
      else if (message.type === 'memory-begin' || message.type === 'memory-end') {
        if (message.type === 'memory-begin') watch.begin()
        else watch.end()
        child.send('looked')
      } else outcome = message.type === 'figures' ? message.figures : new Error(message.text)
    })
    child.once('close', (code, signal) => {
      clearTimeout(limit)
      watch.end()
      if (outcome === undefined) reject(new Error(`the producing process ended: ${signal ?? code}`))
      else if (outcome instanceof Error) reject(outcome)
      else resolve(job.parts.includes('memory') ? { ...outcome, memory: watch.figures() } : outcome)
    })
  })
}
