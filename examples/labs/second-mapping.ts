/**
 * Memory written through a second mapping, outside the bracket of the buffer that the device has. As in Kodi (issue 28983): it
 * stored through its own mapping of the memfd under a udmabuf, and the picture came out with old stripes.
 */
import { DmaBuf, SystemHeap } from 'dmabuf'
import { Camera } from './lib/camera.ts'

using frame = await new SystemHeap().allocate(4096, { coherency: 'non-coherent' })
using display = await Camera.of(frame)

// The same memory by another way. Its brackets are its own: they know of no device.
using memfd = DmaBuf.fromFd(frame.fd, { byteLength: 4096 })
const paint = (colour: number) => memfd.withCpuAccessSync('write', ({ bytes }) => bytes.fill(colour))

paint(7)
console.log('failing: painted 7, the display shows', await display.load(0))

frame.withCpuAccessSync('write', () => paint(8))
console.log('mended:  painted 8, the display shows', await display.load(0))

// prints:
// failing: painted 7, the display shows 0
// mended:  painted 8, the display shows 8
