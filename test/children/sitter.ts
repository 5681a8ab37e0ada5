import { Channel, DmaBufError } from '../../src/index.ts'
import { boardOf } from './counting.ts'

/**
 * Sits in a bracket of a placed buffer, without a turn of its event loop, until the board lets it go; then at once begins
 * another one, in which it sits as well; and tells what became of that.
 */
const parent = Channel.parent()
const { buffers } = await parent.receive()
const [placed, shared] = buffers
if (placed === undefined || shared === undefined) throw new Error('two buffers are needed')
const board = boardOf(shared)
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Says that it sits for the n-th time, until it is told to go. */
function sit(n: number): void {
  Atomics.store(board, 0, n)
  while (Atomics.load(board, 1) < n) Atomics.wait(sleeper, 0, 0, 1)
}

const first = await placed.beginCpuAccess('write')
sit(1)
first.end()
let outcome = 'entered'
try {
  const second = placed.beginCpuAccessSync('write')
  sit(2)
  second.end()
} catch (error) {
  if (!(error instanceof DmaBufError)) throw error
  outcome = error.code
}
await parent.send({ outcome })
for (const buffer of buffers) buffer.close()
await parent.close()
