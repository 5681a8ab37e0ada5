import { beforeAll, expect, test } from 'vitest'
import { type DmaBuf, SyncFile, SystemHeap, Timeline } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { warmFences } from '../support/warm-fences.ts'
import { type FenceWorld, statements } from './fences.ts'

const heap = new SystemHeap()

beforeAll(warmFences)
useCensus()

/** This environment exports the buffers, and signals the fences. */
class Emulated implements FenceWorld {
  readonly #buffers = new Set<DmaBuf>()

  buffer(): DmaBuf {
    const buffer = heap.allocateSync(4096)
    this.#buffers.add(buffer)
    return buffer
  }

  async start(buffer: DmaBuf, access: 'read' | 'write') {
    const timeline = new Timeline('device')
    const fence = timeline.createFence()
    buffer.reservation.add(fence, access)
    return async () => {
      timeline.signal(fence)
      timeline.close()
    }
  }

  async file() {
    const timeline = new Timeline('device')
    const file = SyncFile.from(timeline.createFence())
    const signal = async () => {
      timeline.signal(file.fence)
      timeline.close()
    }
    return { file, signal }
  }

  get open(): number {
    return [...this.#buffers].filter(({ closed }) => !closed).length
  }
}

// The same statements are put to the kernel in test/kernel/fences.ts.
test.each(statements.map(({ name, holds }) => [name, holds] as const))('%s', async (_, holds) => {
  const world = new Emulated()
  await holds(world)
  expect(world.open).toBe(0)
})
