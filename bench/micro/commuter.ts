import { setImmediate } from 'node:timers/promises'
import { Device, PhysicalMemory } from '../../dist/dma.js'
import { type DmaBuf, SystemHeap } from '../../dist/index.js'

const FRAGMENT = 64 << 10

const memory = new PhysicalMemory()
// Nothing longer is left where the camera reaches, so a buffer that both devices use goes to and fro between them.
for (const zone of ['dma', 'dma32', 'contiguous'] as const) memory.fragment({ longest: FRAGMENT, zone })
const heap = new SystemHeap({ memory })
const devices = [
  new Device('camera', { dmaMask: 0xffff_ffffn }),
  new Device('display', { maxSegments: 1 }),
] as const

/** A buffer of more than 64 KiB, looked at through a view, that moves whenever it is asked to. */
export class Commuter implements Disposable {
  readonly buffer: DmaBuf
  #moves = 0

  /** For the first move it is where the camera reaches it. */
  static async of(size: number, prepareMove: boolean): Promise<Commuter> {
    const buffer = await heap.allocate(size, { movable: true, prepareMove })
    using first = await buffer.attach(devices[0])
    const table = await first.map('to-device')
    table.unmap()
    return new Commuter(buffer)
  }

  private constructor(buffer: DmaBuf) {
    this.buffer = buffer
  }

  /** Microseconds of the whole map for which it moved. */
  async move(): Promise<number> {
    await this.buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(++this.#moves))
    using attachment = await this.buffer.attach(devices[this.#moves % 2]!)
    const from = performance.now()
    const table = await attachment.map('to-device')
    const time = performance.now() - from
    if (table.generation !== this.#moves + 1) throw new Error('the buffer has not moved')
    table.unmap()
    // What it does after one move and ahead of the next.
    await setImmediate()
    return time * 1000
  }

  [Symbol.dispose](): void {
    this.buffer.close()
  }
}
