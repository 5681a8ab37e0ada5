/**
 * As chart.ts, for the CPU: an importer changes one page of a buffer inside a bracket. The core's lines are from the diagnostics
 * channels, the exporter's from its ops.
 */
import { subscribe } from 'node:diagnostics_channel'
import { openSync } from 'node:fs'
import { DmaBuf, SystemHeap } from 'dmabuf'
import { draw, drawHead } from './lib/sequence-chart.ts'

const SIZE = 1 << 20
const PAGE = 4096
const ask = (said: string) => draw('dma-buf core', 'exporter', said)

// Stands for the exporter's memory: a descriptor of its own.
using memory = new SystemHeap().allocateSync(SIZE)
const frame = DmaBuf.export({
  exporterName: 'camera',
  fd: openSync(`/proc/self/fd/${memory.fd}`, 'r+'),
  byteLength: SIZE,
  ops: {
    beginCpuAccess: (access, offset, length) => ask(`begin ${offset}+${length} ${access}`),
    kmap: (page) => ask(`kmap ${page}`),
    kunmap: (page) => ask(`kunmap ${page}`),
    endCpuAccess: (access, offset, length) => ask(`end ${offset}+${length} ${access}`),
    release: () => ask('release'),
  },
})
subscribe('dmabuf:cpu:begin', () => draw('dma-buf core', 'importer', 'access'))
subscribe('dmabuf:cpu:kmap', () => draw('dma-buf core', 'importer', 'page'))

drawHead()
draw('importer', 'dma-buf core', 'begin_cpu_access')
const cpu = frame.beginCpuAccessSync('write', { offset: 2 * PAGE, length: PAGE })
draw('importer', 'dma-buf core', 'kmap(2)')
const page = cpu.kmap(2)
draw('importer', 'exporter', 'stores')
page.bytes[0] = 1
draw('importer', 'dma-buf core', 'kunmap(2)')
page.kunmap()
draw('importer', 'dma-buf core', 'end_cpu_access')
cpu.end()
draw('importer', 'dma-buf core', 'close')
frame.close()
