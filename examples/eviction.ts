/** A graphics device with too little memory for what it shows: pictures leave for system memory, and come back. */
import { Display, DrmDevice } from 'dmabuf/drm'

const WIDTH = 640
const HEIGHT = 360
const PICTURES = 12

const frameBytes = WIDTH * HEIGHT * 4
// Room for five, in whole pages.
const memory = 5 * Math.ceil(frameBytes / 4096) * 4096
using card = new DrmDevice('card0', { memory })
using client = card.open()
using display = new Display(card.device)

const framebuffers = Array.from({ length: PICTURES }, (_, n) => {
  const { handle, pitch } = client.createDumb({ width: WIDTH, height: HEIGHT, bpp: 32 })
  using mapped = client.mapDumb(handle)
  mapped.bytes.fill(n + 1)
  return client.addFramebuffer({
    ...{ width: WIDTH, height: HEIGHT, fourcc: 'XR24' },
    planes: [{ handle, stride: pitch }],
  })
})

let right = 0
for (let round = 0; round < 3; round++) {
  for (const [n, framebuffer] of framebuffers.entries()) {
    const { planes } = await display.show(framebuffer)
    if (planes[0]?.every((byte) => byte === n + 1)) right++
  }
}

const { evictions = 0, recalls = 0, bytesMoved = 0 } = card.stats().memory ?? {}
console.log(`${PICTURES} pictures in memory for 5: ${right} of ${3 * PICTURES} shown as they were drawn`)
console.log(`${evictions} evictions, ${recalls} recalls, ${bytesMoved / 2 ** 20} MiB moved`)
