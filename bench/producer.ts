/** The producing process of a pair: `producer.ts JOB`, forked by main.ts, which it reports to. */
import { once } from 'node:events'
import { leaveCleanly } from './lib/leave.ts'
import { measure } from './lib/measure.ts'
import { pinSelf } from './lib/pin.ts'
import { starters } from './peers/index.ts'
import type { Job, JobMessage } from './types.ts'

function tell(message: JobMessage): void {
  process.send?.(message)
}

/** Waits until it has been done: the last look must come before the consumer is gone. */
async function ask(message: JobMessage): Promise<void> {
  const answered = once(process, 'message')
  tell(message)
  await answered
}

const job: Job = JSON.parse(process.argv[2] ?? '')
leaveCleanly()

try {
  const start = await starters[job.peer]?.()
  if (!start) throw new Error(`no peer ${job.peer}`)
  pinSelf(job.cores.producer)
  const peer = await start({ ...job, onPids: (pids) => tell({ type: 'pids', pids }) })
  tell({ type: 'idle' })
  const figures = await measure(peer, job, {
    begin: () => ask({ type: 'memory-begin' }),
    end: () => ask({ type: 'memory-end' }),
  })
  await peer.stop()
  tell({ type: 'figures', figures })
} catch (error) {
  tell({ type: 'error', text: error instanceof Error ? (error.stack ?? error.message) : String(error) })
} finally {
  process.disconnect?.()
}
