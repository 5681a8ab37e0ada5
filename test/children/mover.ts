import { setImmediate as turn } from 'node:timers/promises'
import { Channel, DmaBufError, SystemHeap } from '../../src/index.ts'
import { PLACED_BYTES } from './counting.ts'
import { shift } from './shift.ts'

/** Exports a placed buffer to its parent and moves it for as long as it lives. */
const parent = Channel.parent()
void parent.closed.then(() => process.exit())
const buffer = await new SystemHeap().allocate(PLACED_BYTES, { name: 'moving', movable: true })
await parent.send({}, [buffer])
for (;;) {
  try {
    await shift(buffer)
  } catch (error) {
    // Somebody stayed inside for too long.
    if (!(error instanceof DmaBufError) || error.code !== 'EBUSY') throw error
  }
  await turn()
}
