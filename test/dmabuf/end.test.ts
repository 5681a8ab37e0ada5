import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { useCensus } from '../support/census.ts'
import { typescriptWorker } from '../support/typescript-worker.ts'

useCensus()

const leaver = new URL('./leaver.ts', import.meta.url)

/** How a program ends while it has buffers, brackets, ranges and a pool open. */
const ends = ['return', 'exit', 'exit in a listener', 'throw in a listener'] as const

test.each(ends)('a process that ends by %s with everything open is not killed by it', (how) => {
  const argv = ['--import', 'tsx', leaver.pathname, how]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' })
  expect([signal, status, stdout], stderr).toEqual([null, how.startsWith('throw') ? 1 : 0, 'open\n'])
})

test('a worker that is terminated with everything open leaves nothing, twenty times', {
  timeout: 180_000,
}, async () => {
  for (let round = 0; round < 20; round++) {
    const how = round % 2 === 0 ? 'wait' : 'spin'
    const worker = typescriptWorker(leaver, { argv: [how] })
    // Odd rounds end a worker that is busy in JavaScript, even ones one that waits in its event loop.
    await once(worker, 'message')
    await worker.terminate()
  }
})

test('a worker that ends by itself with everything open leaves nothing', async () => {
  const worker = typescriptWorker(leaver, { argv: ['return'] })
  const [code] = await once(worker, 'exit')
  expect(code).toBe(0)
})
