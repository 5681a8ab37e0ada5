/** END before the last write: the view is still there after the bracket, and somebody stores into it. */
import { SystemHeap } from 'dmabuf'
import { Camera } from './lib/camera.ts'

using frame = await new SystemHeap().allocate(4096, { coherency: 'non-coherent' })
using display = await Camera.of(frame)

const cpu = frame.beginCpuAccessSync('write')
const { bytes } = cpu
bytes.fill(7)
cpu.end()
bytes[100] = 9
console.log('failing: stored 9 behind the end, the display shows', await display.load(100))
// And it is gone for good: the next begin for reading drops the line.
frame.withCpuAccessSync('read', () => console.log('failing: the CPU itself reads', bytes[100]))

frame.withCpuAccessSync('write', (next) => {
  next.bytes.fill(7)
  next.bytes[100] = 9
})
console.log('mended:  stored 9 before the end, the display shows', await display.load(100))

// prints:
// failing: stored 9 behind the end, the display shows 7
// failing: the CPU itself reads 7
// mended:  stored 9 before the end, the display shows 9
