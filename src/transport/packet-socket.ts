import { checked, type DmaBufError, errno, problem, systemError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import {
  DISCONNECT,
  Meta,
  type Poll,
  READABLE,
  TRUNCATED_CONTROL,
  TRUNCATED_DATA,
  WRITABLE,
} from '../native/addon.ts'
import { addon } from '../native/load.ts'

/** A packet that waits for room: its bytes and descriptors, and what happens when it has left (or never will). */
interface Waiting {
  readonly bytes: Uint8Array
  readonly descriptors: Int32Array
  readonly withCredentials: boolean
  readonly done: (error: DmaBufError | undefined) => void
}

export interface PacketHandler {
  /**
   * A packet of `length` bytes stands in `scratch.rx`, its descriptors in `scratch.incoming`; they are the
   * handler's to close. Returns false to stop reading until {@link PacketSocket.resume}.
   */
  packet(length: number, descriptors: number): boolean
  /** The socket fails, for a reason of this side: what is sent now may still reach the peer. */
  failing?(): void
  /** The peer is gone, or the socket failed. Comes once; nothing follows. */
  end(error: DmaBufError | undefined): void
}

/** Turns in which all of a burst was there, before it is worth asking for twice as many. */
const FULL_BURSTS = 16

/**
 * One connected SEQPACKET socket on the event loop: packets in, packets out in order, a full socket waits. It
 * knows nothing of what the packets mean. Owns its descriptor.
 */
export class PacketSocket {
  readonly fd: number
  readonly #handler: PacketHandler
  readonly #poll: Poll
  #waiting: Waiting[] = []
  #reading = true
  #ended = false
  /** Its process is gone; somebody else (a fork) may still have the socket open. */
  #orphaned = false
  #events = 0
  #flushed: (() => void)[] = []
  /**
   * Packets to read before asking whether there is another. A conversation has one at a time, and asking in vain costs
   * a system call each time; the socket is watched by level, so what is left comes at once.
   */
  #burst = 1
  #fullBursts = 0

  constructor(fd: number, handler: PacketHandler) {
    this.fd = fd
    this.#handler = handler
    this.#poll = new (addon().Poll)(fd, (events) => this.#ready(events))
    this.#watch()
  }

  get ended(): boolean {
    return this.#ended
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /**
   * Sends what stands in `scratch.tx` and `scratch.outgoing`, now: 0 when it has left, `-EAGAIN` when it must
   * wait (then {@link queue} it), or another negative errno. The descriptors stay the caller's.
   */
  trySend(length: number, descriptors: number, withCredentials = false): number {
    if (this.#waiting.length > 0) return -errno.EAGAIN
    if (this.#ended || this.#orphaned) return -errno.EPIPE
    const result = addon().send(this.fd, length, descriptors, withCredentials)
    return Math.min(result, 0)
  }

  /**
   * Keeps what {@link trySend} could not send; `done` is called once, when it has left or cannot leave any more.
   * Returns what takes the packet out again: true when it had not left.
   */
  queue(
    length: number,
    descriptors: number,
    withCredentials: boolean,
    done: (error: DmaBufError | undefined) => void,
  ): () => boolean {
    const { scratch } = addon()
    const entry: Waiting = {
      bytes: scratch.tx.slice(0, length),
      descriptors: scratch.outgoing.slice(0, descriptors),
      withCredentials,
      done,
    }
    this.#waiting.push(entry)
    this.#watch()
    return () => {
      const index = this.#waiting.indexOf(entry)
      if (index < 0) return false
      this.#waiting.splice(index, 1)
      this.#settleFlush()
      return true
    }
  }

  /** Resolves when nothing waits to be sent any more. */
  flushed(): Promise<void> {
    if (this.#waiting.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#flushed.push(resolve))
  }

  /** Takes up reading again after a handler returned false. */
  resume(): void {
    if (this.#reading) return
    this.#reading = true
    this.#watch()
    this.#readOrphaned()
  }

  /**
   * Hands over what stands in the socket already, until there is enough: for a caller that cannot wait for the event loop.
   */
  readNow(enough: () => boolean): void {
    // Whoever fills it faster than it is read keeps nobody here for ever.
    for (let packets = 0; packets < limits.maxPacketsPerDrain && !this.#ended && !enough(); packets++) {
      if (!this.#receiveOne()) break
    }
    this.#watch()
  }

  ref(): void {
    this.#poll.ref()
  }

  unref(): void {
    this.#poll.unref()
  }

  /** Closes the socket; what still waits fails. Idempotent, and silent: the handler hears nothing. */
  close(error?: DmaBufError): void {
    if (this.#ended) return
    this.#ended = true
    this.#poll.close()
    addon().close(this.fd)
    const waiting = this.#waiting
    this.#waiting = []
    const reason = error ?? problem('closedChannel', { reason: 'it was closed before the message left' })
    for (const entry of waiting) entry.done(reason)
    this.#settleFlush()
  }

  /** The peer's process is gone: what it had sent is still read, at the reader's pace, and then comes the end. */
  peerGone(): void {
    if (this.#ended) return
    this.#orphaned = true
    this.#failWaiting(problem('closedChannel', { reason: 'the peer is gone' }))
    this.#watch()
    this.#readOrphaned()
  }

  /** There is no event for an empty socket. */
  #readOrphaned(): void {
    if (!this.#orphaned || !this.#reading || this.#ended) return
    setImmediate(() => {
      if (this.#reading && !this.#ended) this.#receive()
    })
  }

  #watch(): void {
    if (this.#ended) return
    // Hang-up is watched even while reading is stopped: a peer's death must not wait for a reader.
    const events = (this.#reading ? READABLE : DISCONNECT) | (this.#waiting.length > 0 ? WRITABLE : 0)
    if (events === this.#events) return
    this.#events = events
    checked(this.#poll.start(events), 'epoll_ctl', 'watching a socket')
  }

  #ready(events: number): void {
    if (events < 0) {
      this.#end(systemError(events, 'epoll_wait', 'watching a socket'))
      return
    }
    // After an error on the socket libuv has stopped watching it.
    if ((events & DISCONNECT) !== 0) this.#events = 0
    if ((events & WRITABLE) !== 0) this.#sendWaiting()
    if (this.#ended) return
    if ((events & READABLE) !== 0) this.#receive()
    else if ((events & DISCONNECT) !== 0) this.#hungUp()
  }

  /**
   * The peer is gone while reading is stopped. What it sent is still in the socket and stays there until somebody
   * reads; only the watching stops, or the loop would spin.
   */
  #hungUp(): void {
    this.#poll.stop()
    this.#events = 0
    this.#failWaiting(problem('closedChannel', { reason: 'the peer is gone' }))
  }

  #receive(): void {
    for (let packets = 0; packets < this.#burst && this.#reading; packets++) {
      const more = this.#receiveOne()
      if (this.#ended) return
      if (more) continue
      this.#burst = Math.max(1, packets)
      this.#fullBursts = 0
      break
    }
    if (++this.#fullBursts > FULL_BURSTS) {
      this.#burst = Math.min(limits.maxPacketsPerTurn, this.#burst * 2)
      this.#fullBursts = 0
    }
    this.#watch()
    this.#readOrphaned()
  }

  /** False when there is none, or when the socket has come to its end. */
  #receiveOne(): boolean {
    const native = addon()
    const { meta } = native.scratch
    const length = native.receive(this.fd)
    if (length === -errno.EAGAIN) {
      if (this.#orphaned) this.#end(undefined)
      return false
    }
    // A peer that left our packets unread resets the connection; told once, before what it had sent itself.
    if (length === -errno.ECONNRESET) return true
    if (length < 0) return this.#end(systemError(length, 'recvmsg', 'receiving'))
    const descriptors = meta[Meta.descriptors] ?? 0
    const flags = meta[Meta.flags] ?? 0
    if ((flags & TRUNCATED_CONTROL) !== 0) {
      return this.#end(
        problem('truncatedMessage', { what: 'its control data was truncated' }, { syscall: 'recvmsg' }),
      )
    }
    if (length === 0) {
      // An empty packet looks like the end of the stream; nobody sends one, so it is the end.
      closeIncoming(descriptors, 0)
      return this.#end(undefined)
    }
    if ((flags & TRUNCATED_DATA) !== 0) {
      closeIncoming(descriptors, 0)
      return this.#end(problem('protocol', { what: 'a packet is larger than any may be' }))
    }
    const wanted = this.#handler.packet(length, descriptors)
    this.#reading = wanted && !this.#ended
    return true
  }

  #sendWaiting(): void {
    const native = addon()
    const { tx, outgoing } = native.scratch
    for (let entry = this.#waiting[0]; entry !== undefined; entry = this.#waiting[0]) {
      tx.set(entry.bytes)
      outgoing.set(entry.descriptors)
      const result = native.send(this.fd, entry.bytes.length, entry.descriptors.length, entry.withCredentials)
      if (result === -errno.EAGAIN) break
      this.#waiting.shift()
      entry.done(result < 0 ? sendError(result) : undefined)
      if (this.#ended) return
    }
    this.#settleFlush()
    this.#watch()
  }

  #failWaiting(error: DmaBufError): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const entry of waiting) entry.done(error)
    this.#settleFlush()
  }

  #settleFlush(): void {
    if (this.#waiting.length > 0) return
    const flushed = this.#flushed
    this.#flushed = []
    for (const resolve of flushed) resolve()
  }

  /** False: nothing follows. */
  #end(error: DmaBufError | undefined): false {
    if (this.#ended) return false
    if (error !== undefined) this.#handler.failing?.()
    this.close(error)
    this.#handler.end(error)
    return false
  }
}

/** Closes the received descriptors from `first` on, off the main thread: a stranger's last close can hang. */
export function closeIncoming(descriptors: number, first: number): void {
  if (first >= descriptors) return
  const native = addon()
  native.closeLater(Array.from(native.scratch.incoming.subarray(first, descriptors)))
}

/** The error of a send that failed for good. */
export function sendError(result: number): DmaBufError {
  if (result === -errno.EPIPE || result === -errno.ECONNRESET || result === -errno.ENOTCONN) {
    return problem('closedChannel', { reason: 'the peer is gone' }, { syscall: 'sendmsg' })
  }
  if (result === -109) return problem('inFlight', {}, { syscall: 'sendmsg' })
  return systemError(result, 'sendmsg', 'sending')
}
