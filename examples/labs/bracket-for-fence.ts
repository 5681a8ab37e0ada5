/**
 * A bracket taken for a fence: it makes the caches right, and half of the frame is still the old one, since the camera is not done.
 * A begin waits for that only when there is a fence. Wayland compositors showed half-drawn windows of drivers which put none
 * into their dma-bufs, until explicit sync.
 */
import { setImmediate as interrupt } from 'node:timers/promises'
import { type Fence, SystemHeap, Timeline } from 'dmabuf'
import { Camera } from './lib/camera.ts'

using frame = await new SystemHeap().allocate(4096, { coherency: 'non-coherent' })
using camera = await Camera.of(frame)
using queue = new Timeline('camera')

/** What a driver does: starts the camera, and does not wait for it. The second half comes with its next interrupt. */
async function capture(value: number): Promise<Fence> {
  const done = queue.createFence()
  await camera.store(0, 2048, value)
  void interrupt()
    .then(() => camera.store(2048, 2048, value))
    .then(() => queue.signal(done))
  return done
}

async function show(what: string): Promise<void> {
  using cpu = await frame.beginCpuAccess('read')
  console.log(`${what} the first byte is ${cpu.bytes[0]}, the last ${cpu.bytes[4095]}`)
}

const first = await capture(7)
await show('failing:')
await first.wait()

frame.reservation.add(await capture(8), 'write')
await show('mended: ')

// prints:
// failing: the first byte is 7, the last 0
// mended:  the first byte is 8, the last 8
