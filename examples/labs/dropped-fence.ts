/**
 * A dropped fence: a stage in the middle passes the frame on with its own fence, and forgets the one that came with it. As when a
 * composer of Android ignores a layer's acquire fence: the pictures tear, but only when the producer is late.
 */
import { setImmediate as interrupt } from 'node:timers/promises'
import { Channel, SyncFile, SystemHeap, Timeline } from 'dmabuf'

using frame = await new SystemHeap().allocate(4096)
const [captured, drawn] = [new Timeline('camera'), new Timeline('subtitles')]
const link = ([out, end] = Channel.pair()) => [out, end.open()] as const
const [camera, stage] = link()
const [subtitles, display] = link()

/** Draws at the bottom, where the camera stores nothing: that is soon done, and the picture is not. */
async function draw(passOn: (came: readonly SyncFile[], own: SyncFile) => SyncFile): Promise<void> {
  const { buffers, fences } = await stage.receive()
  const own = SyncFile.from(drawn.createFence())
  drawn.signal(own.fence)
  await subtitles.send(null, buffers, { fences: [passOn(fences, own)] })
}

async function run(what: string, value: number, passOn: Parameters<typeof draw>[0]): Promise<void> {
  const file = SyncFile.from(captured.createFence())
  await camera.send(null, [frame], { fences: [file] })
  await draw(passOn)
  const { buffers, fences } = await display.receive()
  const shown = fences[0]?.wait().then(() => buffers[0]?.withCpuAccessSync('read', ({ bytes }) => bytes[0]))
  await interrupt()
  frame.withCpuAccessSync('write', ({ bytes }) => bytes.fill(value))
  captured.signal(file.fence)
  console.log(`${what} the display shows ${await shown}, the camera took ${value}`)
}

await run('failing:', 7, (_, own) => own)
await run('mended: ', 8, (came, own) => came.reduce((sum, file) => SyncFile.merge(sum, file), own))
await Promise.all([camera, stage, subtitles, display].map((channel) => channel.close()))

// prints:
// failing: the display shows 0, the camera took 7
// mended:  the display shows 8, the camera took 8
