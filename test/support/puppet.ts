import type { ChildProcess, ForkOptions } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Worker } from 'node:worker_threads'
import {
  type Channel,
  type ChannelOptions,
  type DmaBuf,
  forkWithChannel,
  type JsonLike,
  type Received,
  workerWithChannel,
} from '../../src/index.ts'

import type { Compiled } from './compiled.ts'

const module = new URL('../children/puppet.ts', import.meta.url)
/** TypeScript in a Node that does not know it. */
const execArgv = ['--import', 'tsx']

export type Answer = Received & { readonly message: { readonly [key: string]: JsonLike } }

/** One who does what it is told: test/children/puppet.ts in a process or a worker of its own. */
abstract class Puppet implements AsyncDisposable {
  readonly channel: Channel

  constructor(channel: Channel) {
    this.channel = channel
  }

  /** Tells it to do something, without waiting. The buffers stay the caller's. */
  tell(action: string, values: { readonly [key: string]: JsonLike } = {}, buffers: readonly DmaBuf[] = []) {
    return this.channel.send({ do: action, ...values }, buffers)
  }

  /** Tells it, and waits for its answer. */
  async ask(action: string, values?: { readonly [key: string]: JsonLike }, buffers?: readonly DmaBuf[]) {
    await this.tell(action, values, buffers)
    const answer = (await this.channel.receive()) as Answer
    if (answer.message['done'] !== action)
      throw new Error(`unexpected answer ${JSON.stringify(answer.message)}`)
    return answer
  }

  /** Whether it is gone. */
  abstract readonly gone: Promise<unknown>

  abstract kill(signal?: NodeJS.Signals): Promise<unknown>

  async [Symbol.asyncDispose](): Promise<void> {
    await this.channel.close({ signal: AbortSignal.timeout(10_000) })
    await this.gone
  }
}

export class ProcessPuppet extends Puppet {
  readonly child: ChildProcess
  readonly gone: Promise<unknown>

  private constructor(child: ChildProcess, channel: Channel) {
    super(channel)
    this.child = child
    this.gone = once(child, 'exit')
  }

  /** In TypeScript, or `from` a compiled one. */
  static start(
    forkOptions: Omit<ForkOptions, 'stdio'> = {},
    options?: ChannelOptions,
    from?: Compiled,
  ): ProcessPuppet {
    const argv = from === undefined ? execArgv : []
    const code = from?.url('test/children/puppet.ts') ?? module
    const { child, channel } = forkWithChannel(code, [], { execArgv: argv, ...forkOptions }, options)
    child.channel?.unref()
    return new ProcessPuppet(child, channel)
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<unknown> {
    process.kill(this.child.pid ?? 0, constants.signals[signal])
    return this.gone
  }
}

export class WorkerPuppet extends Puppet {
  readonly worker: Worker
  readonly gone: Promise<unknown>

  private constructor(worker: Worker, channel: Channel) {
    super(channel)
    this.worker = worker
    this.gone = once(worker, 'exit')
  }

  /** From the compiled code: a worker of the runner cannot load TypeScript. */
  static start(from: Compiled): WorkerPuppet {
    const { worker, channel } = workerWithChannel(from.url('test/children/puppet.ts'))
    return new WorkerPuppet(worker, channel)
  }

  kill(): Promise<unknown> {
    return this.worker.terminate()
  }
}
