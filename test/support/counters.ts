import { once } from 'node:events'
import { type Channel, type DmaBuf, forkWithChannel } from '../../src/index.ts'
import type { Counting } from '../children/counting.ts'
import type { Compiled } from './compiled.ts'

/** A process that counts in a placed buffer: test/children/counter.ts. */
export class Counter {
  readonly writer: number | undefined
  /** Rejects with what it found wrong. */
  readonly ended: Promise<void>
  readonly #channel: Channel
  readonly #pid: number
  #killed = false

  private constructor(from: Compiled, { writer, sits = 0 }: Counting, placed: DmaBuf, board: DmaBuf) {
    const { child, channel } = forkWithChannel(from.url('test/children/counter.ts'))
    child.channel?.unref()
    this.writer = writer
    this.#channel = channel
    this.#pid = child.pid ?? 0
    this.ended = this.#listen(once(child, 'exit'))
    this.ended.catch(() => {})
    channel.send({ writer: writer ?? null, sits }, [placed, board]).catch(() => {})
  }

  static start(from: Compiled, counting: Counting, placed: DmaBuf, board: DmaBuf): Counter {
    return new Counter(from, counting, placed, board)
  }

  async kill(): Promise<void> {
    this.#killed = true
    process.kill(this.#pid, 'SIGKILL')
    await this.ended
  }

  async #listen(gone: Promise<unknown>): Promise<void> {
    let failed: string | undefined
    for await (const { message, buffers } of this.#channel) {
      for (const buffer of buffers) buffer.close()
      failed = (message as { failed: string }).failed
    }
    await Promise.all([this.#channel.close(), gone])
    if (failed === undefined && !this.#killed)
      throw new Error(`writer ${this.writer} has ended without a word`)
    if (failed) throw new Error(`writer ${this.writer}: ${failed}`)
  }
}
