import { isMainThread, workerData } from 'node:worker_threads'
import { problem } from '../internal/errors.ts'

/** The environment variable through which a child is told of its channel. */
export const CHANNEL_VARIABLE = 'DMABUF_CHANNEL_FD'
/** The key of `workerData` that tells a worker of its channel. */
export const CHANNEL_KEY = 'dmabuf:channel'

/** What a worker finds in its `workerData` beside the user's own. */
export interface Inheritance {
  readonly fd: number
  /** Becomes 1 when the worker has taken the descriptor over. */
  readonly taken: Int32Array
}

/** The descriptor of the channel that this child or worker was started with; once. */
export function inheritedDescriptor(): number {
  const fd = isMainThread ? fromEnvironment() : fromWorkerData()
  if (fd === undefined) throw problem('noParent', { what: isMainThread ? 'process' : 'worker' })
  return fd
}

function fromWorkerData(): number | undefined {
  const inheritance = (workerData as Record<string, Inheritance> | null)?.[CHANNEL_KEY]
  if (inheritance === undefined || Atomics.exchange(inheritance.taken, 0, 1) !== 0) return undefined
  return inheritance.fd
}

function fromEnvironment(): number | undefined {
  const text = process.env[CHANNEL_VARIABLE]
  // A grandchild must not take it for its own.
  delete process.env[CHANNEL_VARIABLE]
  return text === undefined ? undefined : Number(text)
}
