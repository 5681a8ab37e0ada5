/**
 * A reader lapped by an honest writer: both bracket, and still the reader sees half of one frame and half of the next, since a
 * bracket is no lock. A verified copy is of one frame.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { SystemHeap } from 'dmabuf'

using frame = await new SystemHeap().allocate(4096, { sharing: 'read-only' })
const show = (value: number) => frame.withCpuAccessSync('write', ({ bytes }) => bytes.fill(value))

show(1)
await frame.withCpuAccess('read', async ({ bytes }) => {
  const top = bytes[0]
  // The reader waits for something, and the writer is a frame further on.
  await turn().then(() => show(2))
  console.log(`failing: the top is of frame ${top}, the bottom of frame ${bytes[4095]}`)
})

show(1)
await frame.withCpuAccess('read', async (cpu) => {
  const { bytes } = cpu.copy({ verified: true })
  const top = bytes[0]
  await turn().then(() => show(2))
  console.log(`mended:  the top is of frame ${top}, the bottom of frame ${bytes[4095]}`)
})

// prints:
// failing: the top is of frame 1, the bottom of frame 2
// mended:  the top is of frame 1, the bottom of frame 1
