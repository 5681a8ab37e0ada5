import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import { addon } from '../native/load.ts'
import { Channel, type ChannelOptions } from './channel.ts'
import { CHANNEL_KEY, CHANNEL_VARIABLE, type Inheritance } from './inherited.ts'

/** In the child: stdin, stdout, stderr, Node's own IPC, then the channel. */
const CHANNEL_FD = 4

export interface ForkedWithChannel {
  readonly child: ChildProcess
  readonly channel: Channel
}

/**
 * `child_process.fork` with a channel to the child, which gets it by `Channel.parent()`. Options are fork's, without
 * `stdio` beyond `'inherit' | 'pipe' | 'ignore'` for the first three. The caller closes the channel.
 */
export function forkWithChannel(
  module: string | URL,
  args: readonly string[] = [],
  forkOptions: Omit<ForkOptions, 'stdio'> & { stdio?: 'inherit' | 'pipe' | 'ignore' } = {},
  channelOptions?: ChannelOptions,
): ForkedWithChannel {
  const { stdio = 'inherit', env = process.env, ...rest } = forkOptions
  const [channel, theirs] = Channel.pair(channelOptions)
  try {
    const path = module instanceof URL ? fileURLToPath(module) : module
    const child = fork(path, args, {
      ...rest,
      env: { ...env, [CHANNEL_VARIABLE]: String(CHANNEL_FD) },
      stdio: [stdio, stdio, stdio, 'ipc', theirs.fd],
    })
    // Without a listener a failed spawn would end the process; with it, the channel's end tells.
    child.once('error', () => {})
    return { child, channel }
  } catch (error) {
    void channel.close()
    throw error
  } finally {
    theirs.close()
  }
}

export interface WorkerWithChannel {
  readonly worker: Worker
  readonly channel: Channel
}

/**
 * A worker thread with a channel to it: `Channel.parent()` in the worker. `workerData`, if given, is an object. The
 * caller closes the channel.
 */
export function workerWithChannel(
  module: string | URL,
  workerOptions: Omit<WorkerOptions, 'workerData'> & { workerData?: Record<string, unknown> } = {},
  channelOptions?: ChannelOptions,
): WorkerWithChannel {
  const [channel, theirs] = Channel.pair(channelOptions)
  const inheritance: Inheritance = { fd: theirs.detach(), taken: new Int32Array(new SharedArrayBuffer(4)) }
  const closeUntaken = () => {
    if (Atomics.exchange(inheritance.taken, 0, 1) === 0) addon().close(inheritance.fd)
  }
  try {
    const data = { ...workerOptions.workerData, [CHANNEL_KEY]: inheritance }
    const worker = new Worker(module, { ...workerOptions, workerData: data })
    worker.once('exit', closeUntaken)
    return { worker, channel }
  } catch (error) {
    closeUntaken()
    void channel.close()
    throw error
  }
}
