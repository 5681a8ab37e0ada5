/**
 * The first of two ways to show what another process computes: the display's memory comes first. It is allocated from DRM,
 * shared with the source, which generates into it, and shown. `tsx examples/vmemexp-flow-a.ts [picture.png]`
 */
import { bufinfo, Channel, type DmaBuf, forkWithChannel } from 'dmabuf'
import { presets } from 'dmabuf/dma'
import { Display, DrmDevice } from 'dmabuf/drm'
import { checksum } from './demo/lib/picture.ts'
import { drawTestCard } from './demo/lib/test-card.ts'
import { count, look } from './lib/screen.ts'

const size = { width: 640, height: 480 }

if (process.argv[2] !== 'source') {
  const { child, channel } = forkWithChannel(new URL(import.meta.url), ['source'])
  // Contiguous memory below 4 GiB: here nothing else could be shown.
  using card = new DrmDevice('card0', { device: presets.vc4('card0') })
  using client = card.open()
  const { handle, pitch } = client.createDumb({ ...size, bpp: 32 })
  using shared = client.handleToFd(handle, { access: 'read-write' })
  await channel.send(size, [shared])
  console.log((await channel.receive()).message)

  using framebuffer = client.addFramebuffer({ ...size, fourcc: 'AB24', planes: [{ handle, stride: pitch }] })
  using display = new Display(card.device)
  look(await display.show(framebuffer), process.argv[2])
  await count([process.pid, child.pid ?? 0])
  console.log(`copied: ${bufinfo().reduce((sum, { moves }) => sum + moves.bytesMoved, 0)} bytes`)
  await channel.close()
} else {
  await using channel = Channel.parent()
  const { message, buffers } = await channel.receive()
  using picture = buffers[0] as DmaBuf
  await picture.withCpuAccess('write', ({ bytes }) => drawTestCard(bytes, message as typeof size, 0))
  const sum = await picture.withCpuAccess('read', ({ bytes }) => checksum(bytes))
  await channel.send(`source: drawn into '${picture.name}', checksum ${sum.toString(16)}`)
  await channel.closed
}
