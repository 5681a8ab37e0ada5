import { once } from 'node:events'
import { beforeAll, expect } from 'vitest'
import { coreOf } from '../../src/dmabuf/dmabuf.ts'
import { bufinfo, type Channel, type DmaBuf, forkWithChannel, SystemHeap } from '../../src/index.ts'
import { BOARD_BYTES, boardOf } from '../children/counting.ts'
import { shift } from '../children/shift.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { warmUp } from '../support/dropped.ts'
import { until } from '../support/until.ts'
import { zeroCopyTest } from '../support/zero-copy.ts'

const heap = new SystemHeap()
const code = useCompiled()

beforeAll(warmUp)
useCensus()

const holders = (name: string) => bufinfo().find((info) => info.name === name)?.holders ?? []

/** A holder in another process that sits in one bracket after the other: test/children/sitter.ts. */
class Sitter implements AsyncDisposable {
  readonly #channel: Channel
  readonly #gone: Promise<unknown>
  readonly #board: Uint32Array

  constructor(placed: DmaBuf, shared: DmaBuf) {
    const { child, channel } = forkWithChannel(code.url('test/children/sitter.ts'))
    child.channel?.unref()
    this.#channel = channel
    this.#gone = once(child, 'exit')
    this.#board = boardOf(shared)
    void channel.send({}, [placed, shared])
  }

  async sits(n: number): Promise<void> {
    await until(() => Atomics.load(this.#board, 0) === n, `it sits for the ${n}th time`)
  }

  mayGo(n: number): void {
    Atomics.store(this.#board, 1, n)
  }

  async outcome(): Promise<unknown> {
    this.mayGo(2)
    return (await this.#channel.receive()).message
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.mayGo(2)
    await this.#channel.close()
    await this.#gone
  }
}

zeroCopyTest(
  'a holder that was left behind enters no bracket more, even if its event loop has not turned since',
  async () => {
    using shared = await heap.allocate(BOARD_BYTES)
    using placed = await heap.allocate(65_536, { name: 'left', movable: true, moveTimeout: 50, evict: true })
    await using sitter = new Sitter(placed, shared)
    await sitter.sits(1)
    await shift(placed)
    expect(holders('left')).toEqual([])
    expect(await sitter.outcome()).toEqual({ outcome: 'ERR_DMABUF_EVICTED' })
  },
)

zeroCopyTest(
  'a move that fails leaves nobody behind: whoever was inside still holds off the next one',
  async () => {
    using shared = await heap.allocate(BOARD_BYTES)
    using placed = await heap.allocate(65_536, { name: 'kept', movable: true, moveTimeout: 50, evict: true })
    await using sitter = new Sitter(placed, shared)
    await sitter.sits(1)
    const core = coreOf(placed)
    const ops = core.ops ?? { release: () => {} }
    const broken = () => {
      throw new Error('the blitter is broken')
    }
    core.ops = { ...ops, move: broken }
    await expect(shift(placed)).rejects.toThrow('the blitter is broken')
    core.ops = ops
    sitter.mayGo(1)
    await sitter.sits(2)
    expect(holders('kept')).toMatchObject([{ openBrackets: 1 }])
    await shift(placed)
    expect(holders('kept')).toEqual([])
    expect(await sitter.outcome()).toEqual({ outcome: 'entered' })
  },
)
