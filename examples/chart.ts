/**
 * A real run drawn as a sequence chart: a frame is exported and passed on, a display attaches, maps, does its DMA, unmaps,
 * detaches. What the core says is from the diagnostics channels, what the exporter is asked from its ops.
 */
import { subscribe } from 'node:diagnostics_channel'
import { openSync } from 'node:fs'
import { Channel, DmaBuf, type ExporterOps, SystemHeap } from 'dmabuf'
import { Device, DmaEngine } from 'dmabuf/dma'
import { draw, drawHead } from './lib/sequence-chart.ts'

function onChannel(name: string, said: string): void {
  subscribe(name, () => draw('dma-buf core', 'importer', said))
}

const asked = ['attach', 'pin', 'map', 'unmap', 'unpin', 'detach', 'release'] as const
const ask = (what: string) => [what, () => draw('dma-buf core', 'exporter', what)]
const ops = Object.fromEntries(asked.map(ask)) as unknown as ExporterOps

// Stands for the exporter's memory: a descriptor of its own.
using memory = new SystemHeap().allocateSync(1 << 20)
const fd = openSync(`/proc/self/fd/${memory.fd}`, 'r+')
drawHead()
onChannel('dmabuf:attachment:attached', 'attachment')
onChannel('dmabuf:attachment:mapped', 'sg table')

draw('application', 'exporter', 'a frame, please')
draw('exporter', 'dma-buf core', 'export')
const frame = DmaBuf.export({ exporterName: 'camera', fd, byteLength: 1 << 20, ops })
draw('exporter', 'application', 'fd')
const [application, end] = Channel.pair()
await application.send('show this', [frame])
draw('application', 'importer', 'fd')
frame.close()

const importer = end.open()
const [buffer] = (await importer.receive()).buffers as [DmaBuf]
const display = new Device('display')
draw('importer', 'dma-buf core', 'attach')
const attachment = await buffer.attach(display)
draw('importer', 'dma-buf core', 'map')
const table = await attachment.map('to-device')
draw('importer', 'exporter', 'DMA')
await new DmaEngine(display).read(table)
draw('importer', 'dma-buf core', 'unmap')
table.unmap()
draw('importer', 'dma-buf core', 'detach')
attachment.detach()
draw('importer', 'dma-buf core', 'close')
buffer.close()
await importer.close()
await application.close()
