import type { ForkOptions } from 'node:child_process'
import { once } from 'node:events'
import {
  type Channel,
  type DmaBuf,
  forkWithChannel,
  type JsonLike,
  type Received,
  type SyncFile,
  workerWithChannel,
} from '../../src/index.ts'
import type { Compiled } from './compiled.ts'

type Values = { readonly [key: string]: JsonLike }
type Answer = Received & { readonly message: Values }

/** One who signals fences and waits for them as it is told: test/children/fencer.ts. */
export class Fencer implements AsyncDisposable {
  readonly channel: Channel
  readonly pid: number
  readonly gone: Promise<unknown>
  readonly #kill: () => unknown

  private constructor(channel: Channel, pid: number, gone: Promise<unknown>, kill: () => unknown) {
    this.channel = channel
    this.pid = pid
    this.gone = gone
    this.#kill = kill
  }

  /** From the compiled code where the loader of TypeScript would find no place for what it keeps. */
  static fork(options: Omit<ForkOptions, 'stdio'> = {}, from?: Compiled): Fencer {
    const module = from?.url('test/children/fencer.ts') ?? new URL('../children/fencer.ts', import.meta.url)
    const execArgv = from === undefined ? ['--import', 'tsx'] : []
    const { child, channel } = forkWithChannel(module, [], { execArgv, ...options })
    child.channel?.unref()
    return new Fencer(channel, child.pid ?? 0, once(child, 'exit'), () => child.kill('SIGKILL'))
  }

  /** From the compiled code: a worker of the runner cannot load TypeScript. */
  static thread(from: Compiled): Fencer {
    const { worker, channel } = workerWithChannel(from.url('test/children/fencer.ts'))
    return new Fencer(channel, process.pid, once(worker, 'exit'), () => worker.terminate())
  }

  tell(
    action: string,
    values: Values = {},
    fences: readonly SyncFile[] = [],
    buffers: readonly DmaBuf[] = [],
  ): Promise<void> {
    return this.channel.send({ do: action, ...values }, buffers, { fences })
  }

  async ask(
    action: string,
    values?: Values,
    fences?: readonly SyncFile[],
    buffers?: readonly DmaBuf[],
  ): Promise<Answer> {
    await this.tell(action, values, fences, buffers)
    const answer = (await this.channel.receive()) as Answer
    if (answer.message['done'] !== action) throw new Error(`unexpected ${JSON.stringify(answer.message)}`)
    return answer
  }

  /** One fence of its timeline. */
  async make(): Promise<SyncFile> {
    const { fences } = await this.ask('make')
    return fences[0] as SyncFile
  }

  async kill(): Promise<unknown> {
    this.#kill()
    return this.gone
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.channel.close({ signal: AbortSignal.timeout(10_000) })
    await this.gone
  }
}
