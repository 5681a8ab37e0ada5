/** Runs under fence-device.py: puts the statements on fences to the kernel, and prints how each fares. */
import { strict as assert } from 'node:assert'
import { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { bufinfo, Channel, DmaBuf, type SyncFile, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { type FenceWorld, ready, type Signal, type Statement, statements } from '../conformance/fences.ts'

const [first = 0, count = 0] = process.argv.slice(2).map(Number)
const device = new Socket({ fd: 3 })
const answers = createInterface({ input: device })[Symbol.asyncIterator]()
let last: Promise<unknown> = Promise.resolve()

/** One order at a time; resolves to the answer, rejects with a negative errno. */
function order(line: string): Promise<number> {
  const answer = last.then(async () => {
    device.write(`${line}\n`)
    const value = Number((await answers.next()).value)
    if (value < 0) throw new Error(`${line}: errno ${-value}`)
    return value
  })
  last = answer.catch(() => {})
  return answer
}

/** Real dma-bufs of vgem, and fences that vgem attaches to them. They expire after 10 seconds. */
class Kernel implements FenceWorld {
  #next = 0
  readonly #indices = new Map<DmaBuf, number>()

  async buffer(): Promise<DmaBuf> {
    const index = this.#next++
    if (index >= count) throw new Error('no buffers are left')
    const buffer = DmaBuf.fromFd(first + index, { name: `vgem ${index}` })
    this.#indices.set(buffer, index)
    return buffer
  }

  async start(buffer: DmaBuf, access: 'read' | 'write'): Promise<Signal> {
    const index = this.#indices.get(buffer)
    const fence = await order(`start ${index} ${access === 'write' ? 1 : 0}`)
    return async () => {
      await order(`signal ${fence}`)
    }
  }

  async file(): Promise<{ file: SyncFile; signal: Signal }> {
    const buffer = await this.buffer()
    const signal = await this.start(buffer, 'write')
    const file = await buffer.exportSyncFile('read')
    buffer.close()
    return { file, signal }
  }
}

const others: Statement[] = ['of a heap', 'of udmabuf'].map((what, index) => ({
  name: `a buffer ${what} takes the fences of another device`,
  holds: async (world) => {
    const buffer = DmaBuf.fromFd(first + count + index)
    const { file, signal } = await world.file()
    await buffer.importSyncFile(file, 'read')
    assert.equal(ready(buffer), 'r-')
    const begun = buffer.beginCpuAccess('write')
    await signal()
    ;(await begun).end()
    file.close()
    buffer.close()
  },
}))

const own: Statement[] = [
  {
    name: 'a sync file of the kernel crosses a channel, and is waited for there',
    holds: async (world) => {
      const { file, signal } = await world.file()
      const [channel, end] = Channel.pair()
      const peer = end.open()
      await channel.send(1, [], { fences: [file] })
      const { fences } = await peer.receive()
      assert.equal(fences[0]?.fence.status, 'pending')
      const waited = fences[0]?.wait()
      await signal()
      assert.equal(await waited, true)
      await Promise.all([channel.close(), peer.close()])
      file.close()
      for (const each of fences) each.close()
    },
  },
  {
    name: 'a fence of the kernel holds up a buffer of this library',
    holds: async (world) => {
      const buffer = new SystemHeap().allocateSync(4096)
      const { file, signal } = await world.file()
      await buffer.importSyncFile(file, 'write')
      assert.equal(ready(buffer), '--')
      const begun = buffer.beginCpuAccess('read')
      await signal()
      ;(await begun).end()
      file.close()
      buffer.close()
    },
  },
  {
    name: 'a timeline of this library is refused by the kernel, and what of it has signalled is not',
    holds: async (world) => {
      const { SyncFile: Files, Timeline } = await import('../../src/index.ts')
      const buffer = await world.buffer()
      const timeline = new Timeline()
      const file = Files.from(timeline.createFence())
      await assert.rejects(buffer.importSyncFile(file, 'write'), { code: 'EINVAL' })
      timeline.signal(1)
      await buffer.importSyncFile(file, 'write')
      assert.equal(ready(buffer), 'rw')
      assert.throws(() => buffer.reservation, { code: 'EINVAL' })
      timeline.close()
      file.close()
      buffer.close()
    },
  },
  {
    name: 'SF-19, SF-23: the kernel is told of deadlines, and tells who signals',
    holds: async (world) => {
      const { file, signal } = await world.file()
      file.fence.setDeadline(process.hrtime.bigint())
      assert.equal(addon().syncFileSetDeadline(file.fd, 1), 0)
      assert.deepEqual([file.fence.driverName, file.fence.timelineName], ['vgem', 'unbound'])
      await signal()
      file.close()
    },
  },
  {
    name: 'SF-22: a device that goes signals its fences',
    holds: async (world) => {
      const buffer = await world.buffer()
      const { file } = await world.file()
      await world.start(buffer, 'write')
      const begun = buffer.beginCpuAccess('write')
      await order('leave')
      ;(await begun).end()
      assert.equal(await file.wait(), true)
      assert.equal(file.info().status, 1)
      file.close()
      buffer.close()
    },
  },
]

const world = new Kernel()
for (const { name, holds } of [...statements, ...others, ...own]) {
  try {
    await holds(world)
    console.log(`ok ${name}`)
  } catch (error) {
    console.log(`FAILS ${name}: ${(error as Error).stack}`)
    process.exitCode = 1
  }
}
if (process.exitCode !== 1) assert.deepEqual(bufinfo(), [])
device.destroy()
