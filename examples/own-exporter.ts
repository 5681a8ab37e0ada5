/**
 * An exporter of one's own: a camera lends its frames, in memory of its own, and gets each one back when nobody has it any
 * more. A display in another process attaches, maps and reads; the exporter's ops are called here, whoever asks.
 */
import { openSync } from 'node:fs'
import { Channel, DmaBuf, DmaBufError, type ExporterOps, forkWithChannel, SystemHeap } from 'dmabuf'
import { Device, DmaEngine, presets } from 'dmabuf/dma'

const FRAME = 640 * 480
const LINE = 640
const say = (what: string) => console.log(`camera: ${what}`)

/** A frame in the camera's memory. Its last line stays in a FIFO until somebody is about to look. */
function capture(giveBack: () => void): DmaBuf {
  const memory = new SystemHeap().allocateSync(FRAME)
  memory.withCpuAccessSync('write', ({ bytes }) => bytes.fill(7, 0, FRAME - LINE))
  const drain = () => memory.withCpuAccessSync('write', ({ bytes }) => bytes.fill(7, FRAME - LINE))
  const ops: ExporterOps = {
    // A device that could not be served is refused now, and not at its first map.
    attach({ deviceName, constraints }) {
      const message = `no contiguous memory for ${deviceName}`
      if (constraints.maxSegments === 1)
        throw new DmaBufError({ code: 'EINVAL', message, rule: 'contiguous' })
      say(`${deviceName} attached`)
    },
    // Before each table: what the device is going to read must be in memory.
    map({ deviceName }, direction) {
      drain()
      say(`mapped ${direction} by ${deviceName}`)
    },
    // For each map one, at the latest when the importer has died.
    unmap: ({ deviceName }) => say(`unmapped by ${deviceName}`),
    detach: ({ deviceName }) => say(`${deviceName} detached`),
    // CPU access of this process; that of others asks nobody.
    beginCpuAccess: drain,
    endCpuAccess: () => say('CPU access has ended'),
    // Once, when the last holder anywhere has let go. The descriptor is closed by the library.
    release() {
      say('nobody has it any more')
      memory.close()
      giveBack()
    },
  }
  const fd = openSync(`/proc/self/fd/${memory.fd}`, 'r+')
  return DmaBuf.export({ exporterName: 'camera', name: 'frame', fd, byteLength: FRAME, ops })
}

if (process.argv[2] !== 'display') {
  const { channel } = forkWithChannel(new URL(import.meta.url), ['display'])
  const back = new Promise<void>((resolve) => {
    const frame = capture(resolve)
    frame.withCpuAccessSync('read', ({ bytes }) => say(`the frame ends in ${bytes.at(-1)}`))
    void channel.send('show it', [frame])
    frame.close()
  })
  await back
  await channel.close()
} else {
  await using channel = Channel.parent()
  const [frame] = (await channel.receive()).buffers as [DmaBuf]
  const refused = ({ code, rule, message }: DmaBufError) =>
    console.log(`display: ${code} ${rule}, ${message}`)
  await frame.attach(presets.vc4()).catch(refused)
  const scattered = new Device('display')
  const attachment = await frame.attach(scattered)
  const table = await attachment.map('to-device')
  const [last] = await new DmaEngine(scattered).read(table, FRAME - 1)
  console.log(`display: '${frame.name}' of '${frame.exporterName}' ends in ${last}`)
  attachment.detach()
  frame.close()
}
