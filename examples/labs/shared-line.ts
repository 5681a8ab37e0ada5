/**
 * A neighbour's data lost through a shared cache line: the CPU keeps a counter right before the pixels that a camera stores.
 * Lines go back to memory whole, with what they held of the pixels before.
 */
import { SystemHeap } from 'dmabuf'
import { Camera } from './lib/camera.ts'

/** Counts a frame while the camera stores its first pixels, which begin at `pixels`. */
async function capture(pixels: number): Promise<number> {
  using frame = await new SystemHeap().allocate(4096, { coherency: 'non-coherent', lineSize: 64 })
  using camera = await Camera.of(frame)
  const cpu = frame.beginCpuAccessSync('read-write', { offset: 0, length: 4 })
  cpu.bytes[0] = 1
  await camera.store(pixels, 1000, 7)
  cpu.end()
  return camera.load(pixels)
}

console.log('failing: pixels from byte 4 on, the first is', await capture(4))
console.log('mended:  pixels from byte 64 on, the first is', await capture(64))

// prints:
// failing: pixels from byte 4 on, the first is 0
// mended:  pixels from byte 64 on, the first is 7
