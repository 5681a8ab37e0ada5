import { beforeAll, describe, expect, test } from 'vitest'
import { type DmaBuf, SyncFile, SystemHeap, Timeline } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { Fencer } from '../support/fencer.ts'
import { warmFences } from '../support/warm-fences.ts'
import { type FenceWorld, type Signal, statements } from './fences.ts'

// The same statements are put to the kernel in test/kernel/fences.ts.

const heap = new SystemHeap()
const code = useCompiled()

beforeAll(warmFences)
useCensus()

/** Every buffer of a world, to see that a statement has closed its own. */
class Buffers {
  readonly #all: DmaBuf[] = []

  add(buffer: DmaBuf): DmaBuf {
    this.#all.push(buffer)
    return buffer
  }

  get open(): number {
    return this.#all.filter(({ closed }) => !closed).length
  }
}

/** This environment exports the buffers, and signals the fences. */
class Exporter implements FenceWorld {
  readonly buffers = new Buffers()

  async buffer(): Promise<DmaBuf> {
    return this.buffers.add(heap.allocateSync(4096))
  }

  async start(buffer: DmaBuf, access: 'read' | 'write'): Promise<Signal> {
    const { file, signal } = await this.file()
    buffer.reservation.add(file.fence, access)
    return signal
  }

  async file(): Promise<{ file: SyncFile; signal: Signal }> {
    const timeline = new Timeline('device')
    const file = SyncFile.from(timeline.createFence())
    const signal = async () => {
      timeline.signal(file.fence)
      timeline.close()
    }
    return { file, signal }
  }
}

/** Another process does both, and this one holds the buffers. */
class Holder implements FenceWorld {
  readonly buffers = new Buffers()
  readonly #fencer: Fencer
  readonly #indices = new Map<DmaBuf, number>()

  constructor(fencer: Fencer) {
    this.#fencer = fencer
  }

  async buffer(): Promise<DmaBuf> {
    const { message, buffers } = await this.#fencer.ask('another')
    const buffer = buffers[0] as DmaBuf
    this.#indices.set(buffer, Number(message['index']))
    return this.buffers.add(buffer)
  }

  async start(buffer: DmaBuf, access: 'read' | 'write'): Promise<Signal> {
    const { file, signal } = await this.#device({ buffer: this.#indices.get(buffer) ?? -1, access })
    file.close()
    return signal
  }

  file(): Promise<{ file: SyncFile; signal: Signal }> {
    return this.#device({})
  }

  /** Orders go one at a time: the answers come in order, to whoever asks first. */
  async #device(values: { [key: string]: string | number }): Promise<{ file: SyncFile; signal: Signal }> {
    const { message, fences } = await this.#fencer.ask('start', values)
    const device = message['device'] ?? -1
    const signal = async () => {
      await this.#fencer.ask('finish', { device })
    }
    return { file: fences[0] as SyncFile, signal }
  }
}

const table = statements.map(({ name, holds }) => [name, holds] as const)

describe('of buffers and fences of this environment', () => {
  test.each(table)('%s', async (_, holds) => {
    const world = new Exporter()
    await holds(world)
    expect(world.buffers.open).toBe(0)
  })
})

describe('of buffers and fences of another process', () => {
  test.each(table)('%s', async (_, holds) => {
    await using fencer = Fencer.fork({}, code)
    const world = new Holder(fencer)
    await holds(world)
    expect(world.buffers.open).toBe(0)
  })
})
