/**
 * A missing sync, to be found with the guard: `DMABUF_GUARD=1 npx tsx examples/guard-hunt.ts`. With `mended` as argument
 * the stamp is put on inside the bracket, and the guard has nothing to say. See docs/guard.md.
 */
import { type DmaBuf, SystemHeap } from 'dmabuf'

const WIDTH = 640
const HEIGHT = 480
const mended = process.argv[2] === 'mended'

function stamp(pixels: Uint8Array, frame: number): void {
  pixels.fill(frame, (HEIGHT - 1) * WIDTH)
}

function draw(buffer: DmaBuf, frame: number): Uint8Array {
  const cpu = buffer.beginCpuAccessSync('write')
  const pixels = cpu.bytes
  pixels.fill(128)
  if (mended) stamp(pixels, frame)
  cpu.end()
  return pixels
}

function show(buffer: DmaBuf): string {
  const cpu = buffer.beginCpuAccessSync('read')
  const text = `first byte ${cpu.bytes[0]}, last byte ${cpu.bytes.at(-1)}`
  cpu.end()
  return text
}

const buffer = new SystemHeap().allocateSync(WIDTH * HEIGHT, { name: 'frame' })
for (let frame = 1; frame <= 3; frame++) {
  const pixels = draw(buffer, frame)
  // Works on this machine, whose caches are coherent; on others the stamp is missing now and then.
  if (!mended) stamp(pixels, frame)
  console.log(`frame ${frame}: ${show(buffer)}`)
}
buffer.close()
