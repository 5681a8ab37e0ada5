/** `devices.ts CORE SECONDS MOST`: what a device's first and later uses of a buffer cost, and what they depend on. */
import { readFileSync } from 'node:fs'
import { Device, Iommu } from '../../dist/dma.js'
import { type Attachment, DmaBuf, SystemHeap } from '../../dist/index.js'
import { addon } from '../../dist/native/load.js'
import { figures, micros } from '../lib/micro.ts'
import { pinSelf } from '../lib/pin.ts'
import type { DeviceCosts, DeviceSeries, Micros } from '../types.ts'
import { Commuter } from './commuter.ts'

const FEWEST = 5
const SMALL = 128 << 10

const heap = new SystemHeap()
const ops = { release: () => {} }
const behind = new Device('gpu', { iommu: new Iommu() })

async function mapOnce(attachment: Attachment): Promise<void> {
  const table = await attachment.map('to-device')
  table.unmap()
}

async function moves(commuter: Commuter, seconds: number): Promise<Micros> {
  const samples: number[] = []
  const until = performance.now() + seconds * 1000
  while (samples.length < FEWEST || performance.now() < until) samples.push(await commuter.move())
  return figures(samples)
}

/** All of it for one buffer, and one as large that moves, for `seconds` each. */
async function costs(buffer: DmaBuf, commuter: Commuter, seconds: number): Promise<DeviceCosts> {
  const device = new Device('camera')
  using attachment = await buffer.attach(device)
  using cold = await buffer.attach(behind)
  using cached = await buffer.attach(behind, { expensiveMap: true })
  await mapOnce(cached)
  return {
    attach: await micros(seconds, async () => (await buffer.attach(device)).detach()),
    map: await micros(seconds, () => mapOnce(attachment)),
    mapCold: await micros(seconds, () => mapOnce(cold)),
    mapCached: await micros(seconds, () => mapOnce(cached)),
    export: await micros(seconds, () => {
      const fd = addon().duplicate(buffer.fd)
      DmaBuf.export({ exporterName: 'bench', ops, fd, byteLength: buffer.byteLength }).close()
    }),
    move: await moves(commuter, seconds),
  }
}

async function bySize(sizes: readonly number[], seconds: number): Promise<DeviceSeries> {
  const points = []
  for (const size of sizes) {
    using buffer = await heap.allocate(size)
    using commuter = await Commuter.of(size, false)
    points.push({ of: size, costs: await costs(buffer, commuter, seconds) })
  }
  return points
}

/** With that many other buffers in the process, each with a device attached. */
async function byBuffers(counts: readonly number[], seconds: number): Promise<DeviceSeries> {
  const points = []
  const others: DmaBuf[] = []
  const attachments: Attachment[] = []
  const device = new Device('display')
  using buffer = await heap.allocate(SMALL)
  using commuter = await Commuter.of(SMALL, false)
  for (const count of counts) {
    while (others.length < count - 1) {
      const other = await heap.allocate(4096)
      others.push(other)
      attachments.push(await other.attach(device))
      await mapOnce(attachments.at(-1)!)
    }
    points.push({ of: count, costs: await costs(buffer, commuter, seconds) })
  }
  for (const attachment of attachments) attachment.detach()
  for (const other of others) other.close()
  return points
}

/** With that many attachments of the same buffer. */
async function byAttachments(counts: readonly number[], seconds: number): Promise<DeviceSeries> {
  using buffer = await heap.allocate(SMALL)
  using commuter = await Commuter.of(SMALL, false)
  const points = []
  const attachments: Attachment[] = []
  const device = new Device('display')
  for (const count of counts) {
    while (attachments.length < 2 * (count - 1)) {
      attachments.push(await buffer.attach(device), await commuter.buffer.attach(device))
    }
    points.push({ of: count, costs: await costs(buffer, commuter, seconds) })
  }
  for (const attachment of attachments) attachment.detach()
  return points
}

const [core = '0', seconds = '1', most = '10000'] = process.argv.slice(2)
pinSelf(Number(core))
const each = Number(seconds) / 4
const counts = [1, 10, 100, 1000, 10_000].filter((count) => count <= Number(most))
// Each buffer is a descriptor.
const files = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1])
process.send?.({
  sizes: await bySize([SMALL, 1 << 20, 8 << 20, 24 << 20], each),
  buffers: await byBuffers(
    counts.filter((count) => count < files - 200),
    each,
  ),
  attachments: await byAttachments(counts, each),
})
