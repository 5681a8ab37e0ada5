import { once } from 'node:events'
import { type Channel, type DmaBuf, forkWithChannel } from '../../src/index.ts'
import type { Counting } from '../children/counting.ts'
import type { Compiled } from './compiled.ts'

/** A process that counts in a placed buffer: test/children/counter.ts. */
export class Counter {
  readonly writer: number | undefined
  readonly channel: Channel
  readonly #pid: number
  readonly #gone: Promise<unknown>
  /** How it ended: nothing where it was killed, else what it found wrong. */
  readonly #ended: Promise<string | undefined>
  #killed = false

  private constructor(from: Compiled, { writer, sits = 0 }: Counting, placed: DmaBuf, board: DmaBuf) {
    const { child, channel } = forkWithChannel(from.url('test/children/counter.ts'))
    child.channel?.unref()
    this.writer = writer
    this.channel = channel
    this.#pid = child.pid ?? 0
    this.#gone = once(child, 'exit')
    this.#ended = this.#listen()
    channel.send({ writer: writer ?? null, sits }, [placed, board]).catch(() => {})
  }

  static start(from: Compiled, counting: Counting, placed: DmaBuf, board: DmaBuf): Counter {
    return new Counter(from, counting, placed, board)
  }

  async kill(): Promise<void> {
    this.#killed = true
    process.kill(this.#pid, 'SIGKILL')
    await this.end()
  }

  /** Waits until it has ended, by itself or because it was killed; throws what it found wrong. */
  async end(): Promise<void> {
    const failed = await this.#ended
    await Promise.all([this.channel.close(), this.#gone])
    if (failed !== undefined && failed !== '') throw new Error(`writer ${this.writer}: ${failed}`)
    if (failed === undefined && !this.#killed)
      throw new Error(`writer ${this.writer} has ended without a word`)
  }

  async #listen(): Promise<string | undefined> {
    for await (const { message, buffers } of this.channel) {
      for (const buffer of buffers) buffer.close()
      return (message as { failed: string }).failed
    }
    return undefined
  }
}
