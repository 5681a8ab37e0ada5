import { setTimeout as sleep } from 'node:timers/promises'
import { aborted } from '../internal/abort.ts'
import { checked, errno, problem } from '../internal/errors.ts'
import { abortSignal, integer, options } from '../internal/validate.ts'
import { addon } from '../native/load.ts'
import { type Address, type ParsedAddress, parseAddress, shownAddress } from '../transport/address.ts'
import { Channel, type ChannelOptions, trustOf } from './channel.ts'

export interface ConnectOptions extends ChannelOptions {
  readonly signal?: AbortSignal
  /** Milliseconds for connecting and the server's hello; 5000. */
  readonly timeout?: number
}

const connectOptions = ['signal', 'timeout', 'trust'] as const

/** Milliseconds between two tries at a server whose backlog is full: there is no event to wait for. */
const RETRY = 5

/**
 * Connects to a server. Errors: `ENOENT` and `ECONNREFUSED` when nobody listens, `EACCES` without permission,
 * `ETIMEDOUT`, `EPROTONOSUPPORT` for another version, `EPIPE` when the server turns this process away.
 */
export async function connect(address: Address, connectOpts?: ConnectOptions): Promise<Channel> {
  const parsed = parseAddress(address)
  const opts = options('connect', connectOpts, connectOptions)
  const timeout = integer('timeout', opts.timeout ?? 5_000, 1, 2 ** 31 - 1)
  const signal = abortSignal('signal', opts.signal)
  const trust = trustOf(opts.trust === undefined ? undefined : { trust: opts.trust })
  if (signal?.aborted) throw aborted(signal, 'connect')
  const late = () =>
    problem('timeout', { what: `connecting to ${shownAddress(parsed)}`, milliseconds: timeout })
  const deadline = performance.now() + timeout
  const native = addon()
  const fd = checked(native.socket(), 'socket', 'connecting')
  try {
    while (!tryConnect(fd, parsed)) {
      if (performance.now() > deadline) throw late()
      await sleep(RETRY, undefined, signal === undefined ? {} : { signal }).catch(() => {})
      if (signal?.aborted) throw aborted(signal, 'connect')
    }
  } catch (error) {
    native.close(fd)
    throw error
  }
  const channel = new Channel(fd, trust)
  const stop = () => void channel.close({ signal: AbortSignal.abort() })
  const timer = setTimeout(stop, Math.max(1, deadline - performance.now()))
  signal?.addEventListener('abort', stop, { once: true })
  await channel.ready
  clearTimeout(timer)
  signal?.removeEventListener('abort', stop)
  if (channel.greeted) return channel
  const { reason, error } = await channel.closed
  if (signal?.aborted) throw aborted(signal, 'connect')
  if (error !== undefined) throw error
  if (reason === 'closed') throw late()
  throw problem('closedChannel', { reason: 'the server turned this process away' }, { syscall: 'connect' })
}

/** False when the backlog is full. */
function tryConnect(fd: number, address: ParsedAddress): boolean {
  const result = addon().connect(fd, address.name, address.abstract)
  if (result === -errno.EAGAIN) return false
  if (result < 0) throw problem('connect', { address: shownAddress(address) }, { result, syscall: 'connect' })
  return true
}
