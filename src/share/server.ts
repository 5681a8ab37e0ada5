import { chmodSync, constants, linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { abortable, aborted } from '../internal/abort.ts'
import { checked, errno, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { abortSignal, callable, integer, options } from '../internal/validate.ts'
import { type Poll, READABLE } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { type Address, type ParsedAddress, parseAddress, shownAddress } from '../transport/address.ts'
import { type Credentials, socketCredentials } from '../transport/credentials.ts'
import { Channel, type ChannelOptions, type SignalOptions, trustOf } from './channel.ts'
import type { Trust } from './incoming-handles.ts'

/** Who may come in: a match of all that is given, or a decision of your own. */
export type Allow =
  | { readonly uid?: number; readonly gid?: number; readonly pid?: number }
  | ((peer: Credentials) => boolean | Promise<boolean>)

export interface ListenOptions extends ChannelOptions {
  /** Mode of the socket file; 0o600: this user alone. */
  readonly mode?: number
  /**
   * Who may come in, by the kernel's credentials. Default: for a path everybody whom the file's mode lets through;
   * for an abstract name, which has no mode, this user and root.
   */
  readonly allow?: Allow
  /** Connections that may wait to be accepted; 128. */
  readonly backlog?: number
  /** Closes the server. */
  readonly signal?: AbortSignal
}

const listenOptions = ['mode', 'allow', 'backlog', 'signal', 'trust'] as const

/** Channels accepted ahead of `accept()`; further connections wait in the kernel's backlog. */
const MAX_READY = 64

/** How often the lock of a directory is asked for. */
const LOCK_TRIES = 40

const { O_DIRECTORY } = constants

/** Milliseconds until a lock is asked for again, or a server that had no descriptor left tries again. */
const RETRY = 50

interface Waiter {
  readonly resolve: (channel: Channel | undefined) => void
}

/**
 * Listens on a socket file (mode 0600 by default) or an abstract name. A file that a dead server left is found by
 * knocking, and replaced; a living server's is `EADDRINUSE`, and a file of another kind is never touched.
 */
export async function listen(address: Address, listenOpts?: ListenOptions): Promise<Server> {
  const parsed = parseAddress(address)
  const opts = options('listen', listenOpts, listenOptions)
  const mode = integer('mode', opts.mode ?? 0o600, 0, 0o777)
  const backlog = integer('backlog', opts.backlog ?? limits.defaultBacklog, 1, 4096)
  const signal = abortSignal('signal', opts.signal)
  const allow = allowOf(opts.allow, parsed)
  const trust = trustOf(opts.trust === undefined ? undefined : { trust: opts.trust })
  if (signal?.aborted) throw aborted(signal, 'listen')
  const native = addon()
  const fd = checked(native.socket(), 'socket', 'listening')
  let server: Server
  try {
    const bind = () => bindPath(fd, parsed, mode, backlog)
    const inode = parsed.abstract
      ? bindAbstract(fd, parsed, backlog)
      : await locked(dirname(parsed.name), bind)
    server = new Server(fd, parsed, inode, allow, trust, signal)
  } catch (error) {
    native.close(fd)
    throw error
  }
  if (signal?.aborted) {
    await server.close()
    throw aborted(signal, 'listen')
  }
  return server
}

/** A listening socket: channels by `accept()` or `for await`. Keeps the process alive until closed or `unref`ed. */
export class Server implements AsyncIterable<Channel>, AsyncDisposable {
  readonly #fd: number
  readonly #address: ParsedAddress
  /** The socket file is removed only while it is still this one. */
  readonly #inode: bigint | undefined
  readonly #allow: (peer: Credentials) => boolean | Promise<boolean>
  readonly #trust: Trust
  readonly #poll: Poll
  readonly #ready: Channel[] = []
  readonly #waiters: Waiter[] = []
  /** Connections whose hello has not come yet. */
  readonly #greeting = new Set<Channel>()
  /** Connections that are not given out: being decided on, or without a hello. */
  #entering = 0
  readonly #stop = () => this.#close()
  /** At the end of the process: nobody who waits here is told any more. */
  readonly #leave = () => this.#removeFile()
  readonly #signal: AbortSignal | undefined
  #closed = false

  /** @internal Consumes `fd`. */
  constructor(
    fd: number,
    address: ParsedAddress,
    inode: bigint | undefined,
    allow: (peer: Credentials) => boolean | Promise<boolean>,
    trust: Trust,
    signal: AbortSignal | undefined,
  ) {
    this.#fd = fd
    this.#address = address
    this.#inode = inode
    this.#allow = allow
    this.#trust = trust
    this.#signal = signal
    signal?.addEventListener('abort', this.#stop, { once: true })
    atExit(this.#leave)
    this.#poll = new (addon().Poll)(fd, () => this.#accept())
    this.#poll.start(READABLE)
  }

  /** The path, or the abstract name. */
  get address(): { readonly path: string } | { readonly abstract: string } {
    const { name, abstract } = this.#address
    return abstract ? { abstract: name } : { path: name }
  }

  /** The next channel, which the caller closes. Rejects with `EBADF` once the server is closed. */
  async accept(acceptOpts?: SignalOptions): Promise<Channel> {
    const { signal } = options('accept', acceptOpts, ['signal'])
    const channel = await this.#next(abortSignal('signal', signal))
    if (channel === undefined) throw problem('closedServer', {})
    return channel
  }

  /** Channel after channel until the server is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Channel, void, undefined> {
    for (
      let channel = await this.#next(undefined);
      channel !== undefined;
      channel = await this.#next(undefined)
    ) {
      yield channel
    }
  }

  /** Stops listening and removes the socket file; channels given out stay open. Idempotent. */
  async close(): Promise<void> {
    this.#close()
  }

  ref(): this {
    this.#poll.ref()
    return this
  }

  unref(): this {
    this.#poll.unref()
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close()
  }

  #next(signal: AbortSignal | undefined): Promise<Channel | undefined> {
    if (signal?.aborted) return Promise.reject(aborted(signal, 'accept'))
    const channel = this.#ready.shift()
    if (channel !== undefined) {
      this.#poll.start(READABLE)
      return Promise.resolve(channel)
    }
    if (this.#closed) return Promise.resolve(undefined)
    return abortable(signal, 'accept', (resolve) => {
      const waiter = { resolve }
      this.#waiters.push(waiter)
      return () => this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
    })
  }

  #accept(): void {
    while (!this.#closed) {
      if (this.#ready.length + this.#entering >= MAX_READY) {
        this.#poll.stop()
        return
      }
      const fd = addon().accept(this.#fd)
      if (fd === -errno.EMFILE || fd === -errno.ENFILE) return this.#pause()
      if (fd < 0) return
      this.#entering++
      void this.#admit(fd).finally(() => {
        this.#entering--
        if (!this.#closed) this.#poll.start(READABLE)
      })
    }
  }

  /** A full descriptor table: the connection waits in the backlog until something is closed, of which no event tells. */
  #pause(): void {
    this.#poll.stop()
    setTimeout(() => {
      if (!this.#closed) this.#poll.start(READABLE)
    }, RETRY)
  }

  async #admit(fd: number): Promise<void> {
    let allowed = false
    try {
      const decision = this.#allow(socketCredentials(fd))
      allowed = typeof decision === 'boolean' ? decision : await decision
    } catch {
      // A decision that throws lets nobody in.
    }
    if (!allowed || this.#closed) {
      addon().close(fd)
      return
    }
    let channel: Channel
    try {
      channel = new Channel(fd, this.#trust)
    } catch {
      addon().close(fd)
      return
    }
    this.#greeting.add(channel)
    const deadline = setTimeout(
      () => void channel.close({ signal: AbortSignal.abort() }),
      limits.helloTimeout,
    )
    deadline.unref()
    await channel.ready
    clearTimeout(deadline)
    this.#greeting.delete(channel)
    // A peer that said hello, sent and left has still something to tell; one that said nothing has not.
    if (!channel.greeted || this.#closed) void channel.close()
    else this.#give(channel)
  }

  #give(channel: Channel): void {
    const waiter = this.#waiters.shift()
    if (waiter === undefined) this.#ready.push(channel)
    else waiter.resolve(channel)
  }

  #removeFile(): void {
    const { name } = this.#address
    if (this.#inode !== undefined && inodeOf(name) === this.#inode) unlinkSync(name)
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#signal?.removeEventListener('abort', this.#stop)
    leaving.delete(this.#leave)
    this.#poll.close()
    // While it still listens, nobody takes the file for a stale one and replaces it.
    this.#removeFile()
    addon().close(this.#fd)
    for (const channel of [...this.#ready.splice(0), ...this.#greeting]) void channel.close()
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(undefined)
  }
}

/** What open servers do when the process ends. */
const leaving = new Set<() => void>()
let watched = false

/** One listener for all of them: Node warns of a leak from the eleventh on. */
function atExit(leave: () => void): void {
  leaving.add(leave)
  if (watched) return
  watched = true
  process.on('exit', () => {
    for (const each of leaving) each()
  })
}

function allowOf(
  allow: Allow | undefined,
  address: ParsedAddress,
): (peer: Credentials) => boolean | Promise<boolean> {
  if (allow === undefined) {
    if (!address.abstract) return () => true
    const own = process.geteuid?.() ?? -1
    return ({ uid }) => uid === own || uid === 0
  }
  if (typeof allow === 'function') return callable('allow', allow)
  const wanted = options('allow', allow, ['uid', 'gid', 'pid'])
  const entries = Object.entries(wanted).map(
    ([key, value]) => [key, integer(`allow.${key}`, value, 0)] as const,
  )
  return (peer) => entries.every(([key, value]) => peer[key as keyof Credentials] === value)
}

function bindAbstract(fd: number, address: ParsedAddress, backlog: number): undefined {
  const result = addon().bind(fd, address.name, true)
  if (result === -errno.EADDRINUSE) throw inUse(address, 'another server listens there')
  checked(result, 'bind', `listening on ${shownAddress(address)}`)
  checked(addon().listen(fd, backlog), 'listen', `listening on ${shownAddress(address)}`)
}

/**
 * Runs `act` while this process has the lock of a directory: else two servers that find the same stale file can take
 * away each other's new one. The kernel gives the lock of a dead process back; one that is held for long, or a directory
 * that cannot be read, is no reason to fail.
 */
async function locked<T>(directory: string, act: () => T): Promise<T> {
  const native = addon()
  const fd = native.open(directory, O_DIRECTORY, 0)
  try {
    for (let tries = 0; fd >= 0 && native.lock(fd) === -errno.EAGAIN && tries < LOCK_TRIES; tries++)
      await sleep(RETRY)
    return act()
  } finally {
    if (fd >= 0) native.close(fd)
  }
}

/**
 * Binds under a temporary name, gives the file its mode, and only then its real name: nobody can connect to it before
 * the mode is right, and of two servers that start at once exactly one wins.
 */
function bindPath(fd: number, address: ParsedAddress, mode: number, backlog: number): bigint {
  const { name } = address
  // No longer than it must be: an address has room for 107 bytes.
  const temporary = join(dirname(name), `.${Math.random().toString(36).slice(2, 8)}`)
  const what = `listening on ${name}`
  checked(addon().bind(fd, temporary, false), 'bind', what)
  try {
    chmodSync(temporary, mode)
    checked(addon().listen(fd, backlog), 'listen', what)
    for (;;) {
      try {
        linkSync(temporary, name)
        break
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      if (!isStale(address)) throw inUse(address, 'another server listens there')
      removeStale(name, temporary)
    }
    return inodeOf(name) ?? 0n
  } finally {
    unlinkSync(temporary)
  }
}

/** Knocks: only a socket file at which nobody answers is stale. */
function isStale(address: ParsedAddress): boolean {
  const found = lstatSync(address.name, { throwIfNoEntry: false })
  if (found === undefined) return true
  if (!found.isSocket()) throw inUse(address, 'it is a file and no socket')
  const native = addon()
  const probe = checked(native.socket(), 'socket', 'probing a socket file')
  const result = native.connect(probe, address.name, false)
  native.close(probe)
  return result === -errno.ECONNREFUSED || result === -errno.ENOENT
}

/**
 * Takes the stale file away without ever removing a living one: it is renamed first, and put back if another server
 * has replaced it in the meantime.
 */
function removeStale(name: string, temporary: string): void {
  const aside = `${temporary}~`
  try {
    renameSync(name, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (isStale({ name: aside, abstract: false })) unlinkSync(aside)
  else renameSync(aside, name)
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino
}

function inUse(address: ParsedAddress, why: string) {
  return problem('addressInUse', { address: shownAddress(address), why })
}
