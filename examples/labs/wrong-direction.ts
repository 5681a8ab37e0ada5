/** The wrong direction: a bracket for writing invalidates nothing, so whoever reads in it sees what was cached before. */
import { SystemHeap } from 'dmabuf'
import { Camera } from './lib/camera.ts'

using frame = await new SystemHeap().allocate(4096, { coherency: 'non-coherent' })
using camera = await Camera.of(frame)

frame.withCpuAccessSync('read', () => {})
await camera.store(0, 4096, 7)
frame.withCpuAccessSync('write', ({ bytes }) => {
  console.log('failing: the camera stored 7, the CPU reads', bytes[0])
  // Storing into part of a stale line is worse: all of the line goes back to memory.
  bytes[1] = 9
})
console.log('failing: the camera reads back', await camera.load(0))

await camera.store(0, 4096, 7)
frame.withCpuAccessSync('read-write', ({ bytes }) => {
  console.log('mended:  the camera stored 7, the CPU reads', bytes[0])
  bytes[1] = 9
})
console.log('mended:  the camera reads back', await camera.load(0))

// prints:
// failing: the camera stored 7, the CPU reads 0
// failing: the camera reads back 0
// mended:  the camera stored 7, the CPU reads 7
// mended:  the camera reads back 7
