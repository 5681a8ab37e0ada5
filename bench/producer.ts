/** The producing process of a pair: `producer.ts JOB`, forked by main.ts, which it reports to. */
import { measure } from './lib/measure.ts'
import { pinSelf } from './lib/pin.ts'
import { starters } from './peers/index.ts'
import type { Job, JobMessage } from './types.ts'

function tell(message: JobMessage): void {
  process.send?.(message)
}

const job: Job = JSON.parse(process.argv[2] ?? '')
process.once('disconnect', () => process.exit())

try {
  const start = await starters[job.peer]?.()
  if (!start) throw new Error(`no peer ${job.peer}`)
  pinSelf(job.cores.producer)
  const peer = await start({ ...job, onPids: (pids) => tell({ type: 'pids', pids }) })
  tell({ type: 'idle' })
  const figures = await measure(peer, job, {
    begin: () => tell({ type: 'memory-begin' }),
    end: () => tell({ type: 'memory-end' }),
  })
  await peer.stop()
  tell({ type: 'figures', figures })
} catch (error) {
  tell({ type: 'error', text: error instanceof Error ? (error.stack ?? error.message) : String(error) })
} finally {
  process.disconnect?.()
}
