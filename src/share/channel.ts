import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { coreOf, type DmaBuf } from '../dmabuf/dmabuf.ts'
import { abortable, aborted, throwIfAborted } from '../internal/abort.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { checked, type DmaBufError, problem, systemError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { abortSignal, integer, oneOf, options, shown } from '../internal/validate.ts'
import { addon } from '../native/load.ts'
import type { SyncFile } from '../sync/sync-file.ts'
import type { Credentials } from '../transport/credentials.ts'
import type { JsonLike } from '../transport/message-json.ts'
import { ChannelLink, type LinkEnd, type Received } from './channel-link.ts'
import { noFences, outgoingFences } from './fence-list.ts'
import type { Trust } from './incoming-handles.ts'
import { inheritedDescriptor } from './inherited.ts'

export interface ChannelOptions {
  /**
   * `'sealed'` (default): a message with memory that may still shrink ends the channel. `'unsealed'`: such memory is
   * taken, and a truncation survived.
   */
  readonly trust?: Trust
}

export interface SignalOptions {
  /** Ends the waiting with an `ABORT_ERR`. */
  readonly signal?: AbortSignal
}

export interface SendOptions extends SignalOptions {
  /** Sync files to send along: borrowed, close them whenever you like. */
  readonly fences?: readonly SyncFile[]
}

/** Why a channel is closed. */
export interface ChannelClosed {
  readonly reason: 'closed' | 'closed-by-peer' | 'peer-died' | 'error'
  /** With `'error'`: what the peer did wrong, or which call failed. */
  readonly error?: DmaBufError
}

const channelOptions = ['trust'] as const
const signalOptions = ['signal'] as const
const sendOptions = ['signal', 'fences'] as const

const none: readonly DmaBuf[] = []
const noOptions: SendOptions = Object.freeze({})
const noCores: readonly BufferCore[] = []
const done = Promise.resolve()
const asItIs = (received: Received) => received

function coresOf(buffers: readonly DmaBuf[]): BufferCore[] {
  if (Array.isArray(buffers) && buffers.length <= limits.maxBuffersPerMessage) return buffers.map(coreOf)
  const expected = `an array of at most ${limits.maxBuffersPerMessage} buffers`
  throw problem('argument', { what: 'buffers', expected, received: shown(buffers) })
}

/** Somebody who waits for a message; undefined when there will be none. */
type Waiter = (received: Received | undefined) => void

/**
 * A connection to one peer: messages (JSON with bytes in it) and buffers, in order, both ways. Made by `connect`,
 * `listen`, `Channel.pair()`, `forkWithChannel`; it keeps the process alive until it is closed or `unref`ed.
 */
export class Channel implements AsyncIterable<Received>, AsyncDisposable, Disposable {
  readonly #link: ChannelLink
  readonly #queue: Received[] = []
  readonly #waiters: Waiter[] = []
  readonly #closed: Promise<ChannelClosed>
  #settleClosed: (closed: ChannelClosed) => void = () => {}
  #end: ChannelClosed | undefined
  #closing: Promise<void> | undefined
  readonly #throwClosed = (): never => {
    throw this.#closedError()
  }

  /** @internal Consumes `fd`. */
  constructor(fd: number, trust: Trust) {
    this.#closed = new Promise((resolve) => {
      this.#settleClosed = resolve
    })
    this.#link = new ChannelLink(fd, trust, {
      received: (received) => this.#deliver(received),
      end: (end) => this.#ended(end),
    })
  }

  /** Two connected ends: keep the first, pass the second on (to a child by `stdio`, to a worker by number). */
  static pair(channelOpts?: ChannelOptions): [mine: Channel, theirs: ChannelEnd] {
    const trust = trustOf(channelOpts)
    const native = addon()
    const result = native.socketPair()
    if (result < 0) throw systemError(result, 'socketpair', 'making a channel')
    const [mine = -1, theirs = -1] = native.scratch.descriptors
    return [new Channel(mine, trust), new ChannelEnd(theirs)]
  }

  /**
   * In a child of `forkWithChannel` or a worker of `workerWithChannel`: the channel to whoever started it. Once; the
   * caller closes it. `ENOTCONN` elsewhere.
   */
  static parent(channelOpts?: ChannelOptions): Channel {
    return Channel.fromFd(inheritedDescriptor(), channelOpts)
  }

  /**
   * A channel over an inherited or otherwise received SEQPACKET socket. Consumes `fd`, unless it throws: `EBADF`,
   * `ENOTSOCK`.
   */
  static fromFd(fd: number, channelOpts?: ChannelOptions): Channel {
    integer('fd', fd, 0, 2 ** 31 - 1)
    const trust = trustOf(channelOpts)
    const native = addon()
    const what = `taking over descriptor ${fd}`
    checked(native.peerCredentials(fd), 'getsockopt', what)
    checked(native.adopt(fd), 'fcntl', what)
    return new Channel(fd, trust)
  }

  /** Resolves when the peer has said hello; from then on `peer` is who really speaks there. */
  get ready(): Promise<void> {
    return this.#link.ready
  }

  /** Whether the peer has said hello. */
  get greeted(): boolean {
    return this.#link.greeted
  }

  /**
   * Who is at the other end, as the kernel says. For an inherited pair it names the process that made the pair until
   * {@link ready}. `pid` is 0 for a peer in another pid namespace.
   */
  get peer(): Credentials {
    return this.#link.peer
  }

  /** Resolves, never rejects, when the channel is closed, with the reason. */
  get closed(): Promise<ChannelClosed> {
    return this.#closed
  }

  /**
   * Sends a message and buffers; resolves when they have left this process, and waits while the socket is full.
   * The buffers are borrowed: close them whenever you like, even at once; what is under way keeps them. Errors:
   * `EPIPE` closed, `EMSGSIZE`, `EINVAL` for what is not JSON, `ENOBUFS` when too many sends wait.
   */
  send(message: JsonLike, buffers: readonly DmaBuf[] = none, sendOpts?: SendOptions): Promise<void> {
    // Not an async function: most sends are done at once, and one promise serves them all.
    try {
      const opts = sendOpts === undefined ? noOptions : options('send', sendOpts, sendOptions)
      const signal = abortSignal('signal', opts.signal)
      const fences = opts.fences === undefined ? noFences : outgoingFences(opts.fences)
      throwIfAborted(signal, 'send')
      if (this.#end !== undefined || this.#closing !== undefined) throw this.#closedError()
      const cores = buffers === none ? noCores : coresOf(buffers)
      const sent = this.#link.send(message, cores, signal, fences)
      if (diagnostics.messageSent.hasSubscribers) {
        diagnostics.messageSent.publish({ peer: this.peer, buffers: cores.map((core) => core.id) })
      }
      return sent ?? done
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * The next message and its buffers, which the receiver owns and closes. Rejects with `EPIPE` when the channel is
   * closed and everything received has been given out; for the reason await {@link closed}.
   */
  receive(receiveOpts?: SignalOptions): Promise<Received> {
    try {
      const signal = signalOf('receive', receiveOpts)
      return this.#next(signal, asItIs, this.#throwClosed)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Message after message until the channel is closed by either side or the peer is gone; an error is thrown. */
  [Symbol.asyncIterator](): AsyncIterator<Received, undefined> {
    // By hand, because an async generator costs a round trip of a small message several promises more.
    const finish = (): IteratorResult<Received, undefined> => {
      if (this.#end?.error !== undefined) throw this.#end.error
      return { done: true, value: undefined }
    }
    const item = (value: Received): IteratorResult<Received, undefined> => ({ done: false, value })
    return {
      next: () => this.#next(undefined, item, finish),
      return: () => Promise.resolve({ done: true, value: undefined }),
    }
  }

  /**
   * Sends what waits, says goodbye, closes. What was received and not given out is closed too. A peer that does not
   * read can make this wait: `signal` ends the waiting, and what has not left is lost. Idempotent, never rejects.
   */
  close(closeOpts?: SignalOptions): Promise<void> {
    const signal = signalOf('close', closeOpts)
    const stop = () => this.#link.destroy()
    if (signal?.aborted) stop()
    else signal?.addEventListener('abort', stop, { once: true })
    this.#closing ??= this.#close()
    return this.#closing.finally(() => signal?.removeEventListener('abort', stop))
  }

  /** Keeps the process alive (the default). */
  ref(): this {
    this.#link.ref()
    return this
  }

  /** Lets the process end although the channel is open. */
  unref(): this {
    this.#link.unref()
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  [Symbol.dispose](): void {
    void this.close()
  }

  async #close(): Promise<void> {
    if (this.#end === undefined) await this.#link.close()
    this.#ended({ reason: 'closed' })
    this.#drop()
  }

  /** The next message in the form that `item` gives it, or what `atEnd` says when there will be none. */
  #next<T>(signal: AbortSignal | undefined, item: (received: Received) => T, atEnd: () => T): Promise<T> {
    if (signal?.aborted) return Promise.reject(aborted(signal, 'receive'))
    const received = this.#queue.shift()
    if (received !== undefined) {
      this.#link.resume()
      return Promise.resolve(item(received))
    }
    const wait = (resolve: (value: T) => void, reject: (error: unknown) => void) => {
      const waiter: Waiter = (value) => {
        if (value !== undefined) resolve(item(value))
        else {
          try {
            resolve(atEnd())
          } catch (error) {
            reject(error)
          }
        }
      }
      if (this.#end !== undefined) waiter(undefined)
      else this.#waiters.push(waiter)
      return waiter
    }
    if (signal === undefined) return new Promise(wait)
    return abortable(signal, 'receive', (resolve, reject) => {
      const waiter = wait(resolve, reject)
      return () => this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
    })
  }

  /** Returns whether more may be read ahead. */
  #deliver(received: Received): boolean {
    if (this.#end !== undefined) {
      dropReceived(received)
      return false
    }
    const waiter = this.#waiters.shift()
    if (waiter !== undefined) waiter(received)
    else this.#queue.push(received)
    return this.#queue.length < limits.maxQueuedReceives
  }

  #ended(end: LinkEnd): void {
    if (this.#end !== undefined) return
    this.#end = end.error === undefined ? { reason: end.reason } : { reason: end.reason, error: end.error }
    this.#settleClosed(this.#end)
    for (const waiter of this.#waiters.splice(0)) waiter(undefined)
  }

  #drop(): void {
    for (const received of this.#queue.splice(0)) dropReceived(received)
  }

  #closedError(): DmaBufError {
    if (this.#end?.error !== undefined) return this.#end.error
    return problem('closedChannel', { reason: this.#end?.reason ?? 'closed' })
  }
}

function dropReceived({ buffers, fences }: Received): void {
  for (const buffer of buffers) buffer.close()
  for (const fence of fences) fence.close()
}

/** The end of a pair that is given away: to a child (`stdio: [..., end.fd]`), or opened in this process. */
export class ChannelEnd implements Disposable {
  #fd: number

  /** @internal */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** The descriptor, borrowed: valid until `close()` or `open()`. */
  get fd(): number {
    if (this.#fd < 0) throw problem('closedChannel', { reason: 'this end was given away' })
    return this.#fd
  }

  /** Opens the end here, in this environment. */
  open(channelOpts?: ChannelOptions): Channel {
    const trust = trustOf(channelOpts)
    const { fd } = this
    this.#fd = -1
    return new Channel(fd, trust)
  }

  /** Gives the descriptor away for good, by number, to another thread of this process (`Channel.fromFd(fd)`). */
  detach(): number {
    const { fd } = this
    this.#fd = -1
    addon().release(fd, false)
    return fd
  }

  /** Closes this process's copy: as soon as the child has its own. Idempotent. */
  close(): void {
    if (this.#fd < 0) return
    addon().close(this.#fd)
    this.#fd = -1
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

export function trustOf(channelOpts: ChannelOptions | undefined): Trust {
  const opts = options('Channel', channelOpts, channelOptions)
  return oneOf('trust', opts.trust ?? 'sealed', ['sealed', 'unsealed'])
}

function signalOf(name: string, given: SignalOptions | undefined): AbortSignal | undefined {
  if (given === undefined) return undefined
  return abortSignal('signal', options(name, given, signalOptions).signal)
}

export type { Received }
