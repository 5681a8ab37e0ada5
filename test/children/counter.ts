import { Channel } from '../../src/index.ts'
import { boardOf, count } from './counting.ts'

/** Gets a placed buffer and a board, counts until the board says stop, and tells how it ended. */
const parent = Channel.parent()
const { message, buffers } = await parent.receive()
const { writer, sits } = message as { writer: number | null; sits: number }
const [placed, board] = buffers
// The board says nothing any more when nobody is left to write on it.
void parent.closed.then(() => process.exit())
let failed = ''
try {
  if (placed === undefined || board === undefined) throw new Error('two buffers are needed')
  await count(placed, boardOf(board), { writer: writer ?? undefined, sits })
} catch (error) {
  failed = error instanceof Error ? (error.stack ?? error.message) : String(error)
}
await parent.send({ failed })
for (const buffer of buffers) buffer.close()
await parent.close()
