/**
 * A sync that does nothing because nobody is attached. A heap synchronises the tables that are mapped; before the first map
 * there is none. Whoever then maps without synchronising, "because the bracket did it", reads old memory.
 */
import { SystemHeap } from 'dmabuf'
import { Camera } from './lib/camera.ts'

const heap = new SystemHeap()
const skipClean = true

using early = await heap.allocate(4096, { coherency: 'non-coherent' })
early.withCpuAccessSync('write', ({ bytes }) => bytes.fill(7))
using display = await Camera.of(early, { skipClean })
console.log('failing: painted before the map, the display shows', await display.load(0))

using late = await heap.allocate(4096, { coherency: 'non-coherent' })
using other = await Camera.of(late, { skipClean })
late.withCpuAccessSync('write', ({ bytes }) => bytes.fill(7))
console.log('mended:  painted while mapped, the display shows', await other.load(0))

// prints:
// failing: painted before the map, the display shows 0
// mended:  painted while mapped, the display shows 7
