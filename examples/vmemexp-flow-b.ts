/**
 * The second of two ways to show what another process computes: the source's memory comes first. It allocates and generates,
 * exports by vmemexp what it has, and shares it with DRM, which imports and shows it.
 * `tsx examples/vmemexp-flow-b.ts [picture.png]`
 */
import { bufinfo, Channel, type DmaBuf, forkWithChannel, vmemexp } from 'dmabuf'
import { presets } from 'dmabuf/dma'
import { Display, DrmDevice } from 'dmabuf/drm'
import { checksum, frameBytes } from './demo/lib/picture.ts'
import { drawTestCard } from './demo/lib/test-card.ts'
import { count, look } from './lib/screen.ts'

const size = { width: 640, height: 480 }

if (process.argv[2] !== 'source') {
  const { child, channel } = forkWithChannel(new URL(import.meta.url), ['source'])
  const { message, buffers } = await channel.receive()
  using pixels = buffers[0] as DmaBuf
  console.log(message)

  // Its display reads scattered memory, which may begin inside a page.
  using card = new DrmDevice('card0', { device: presets.amdgpuDisplay('card0') })
  using client = card.open()
  const handle = await client.fdToHandle(pixels)
  using framebuffer = client.addFramebuffer({
    ...{ ...size, fourcc: 'AB24', planes: [{ handle, stride: size.width * 4 }] },
  })
  using display = new Display(card.device)
  look(await display.show(framebuffer))
  await channel.send('the next picture, please')
  console.log((await channel.receive()).message)
  look((await display.scan())!, process.argv[2])
  await count([process.pid, child.pid ?? 0])
  await channel.close()
} else {
  await using channel = Channel.parent()
  // Large enough that malloc maps pages for it alone.
  const pixels = new Uint8Array(frameBytes(size))
  const draw = (frame: number) => {
    drawTestCard(pixels, size, frame)
    return `source: drew picture ${frame}, checksum ${checksum(pixels).toString(16)}`
  }
  const drawn = draw(0)
  using buffer = await vmemexp.export(pixels, { name: 'pixels' })
  await channel.send(`${drawn}; it begins ${buffer.offset} bytes into a page`, [buffer])
  await channel.receive()
  await channel.send(buffer.withCpuAccessSync('write', () => draw(25)))
  await channel.closed
  console.log(`copied after the export: ${bufinfo()[0]?.moves.bytesMoved} bytes`)
}
