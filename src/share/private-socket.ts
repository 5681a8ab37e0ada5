import { DmaBufError, errno } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import { closeIncoming, PacketSocket, sendError } from '../transport/packet-socket.ts'
import {
  PRIVATE_BYTES,
  type PrivateInit,
  type PrivateMessage,
  PrivateType,
  readPrivate,
  writePrivate,
} from './private-message.ts'
import { rx, tx } from './scratch-views.ts'

export interface PrivateHandler {
  /**
   * `fd` came along (-1: none), and with a fence `second` too; they are the handler's to close. The body stands in the scratch until the handler returns.
   * Returns what is wrong, if something is.
   */
  message(message: PrivateMessage, fd: number, second: number): string | undefined
  /** The connection ends for a reason of this side: what is sent now may still reach the other one. */
  failing?(): void
  end(error: DmaBufError | string | undefined): void
}

/** What goes along with a message. */
export interface PrivateFreight {
  /** Borrowed. */
  readonly fd?: number
  /** A second one, of a fence. This and {@link fd} are then borrowed until {@link sent}. */
  readonly second?: number
  /** Called once, when the descriptors are not needed any more. */
  readonly sent?: () => void
  readonly body?: Uint8Array
  /** Called once, when the message has left, or with the reason why it never will. */
  readonly done?: (error: DmaBufError | undefined) => void
}

const nothing: PrivateFreight = Object.freeze({})

/** The private connection of one holder and one exporter: small messages with at most one descriptor. */
export class PrivateSocket {
  readonly #socket: PacketSocket
  readonly #handler: PrivateHandler

  constructor(fd: number, handler: PrivateHandler) {
    this.#handler = handler
    this.#socket = new PacketSocket(fd, {
      packet: (length, descriptors) => this.#packet(length, descriptors),
      failing: () => handler.failing?.(),
      end: (error) => handler.end(error),
    })
    this.#socket.unref()
  }

  get fd(): number {
    return this.#socket.fd
  }

  get ended(): boolean {
    return this.#socket.ended
  }

  /** A full socket waits. */
  send(message: PrivateInit, freight: PrivateFreight = nothing): void {
    const native = addon()
    const { fd = -1, second = -1, body, done, sent } = freight
    writePrivate(tx(), message)
    if (body !== undefined) native.scratch.tx.set(body, PRIVATE_BYTES)
    const length = PRIVATE_BYTES + (body?.length ?? 0)
    const count = fd < 0 ? 0 : second < 0 ? 1 : 2
    native.scratch.outgoing[0] = fd
    native.scratch.outgoing[1] = second
    const result = this.#socket.trySend(length, count)
    if (result !== -errno.EAGAIN) {
      sent?.()
      this.#sent(result, done)
      return
    }
    // It may be closed before there is room.
    const own = fd < 0 ? -1 : native.duplicate(fd)
    if (fd >= 0 && own < 0) {
      sent?.()
      this.#sent(own, done)
      return
    }
    if (own >= 0) native.scratch.outgoing[0] = own
    native.scratch.outgoing[1] = second
    this.#socket.queue(length, count, false, (error) => {
      if (own >= 0) native.close(own)
      sent?.()
      done?.(error)
    })
  }

  #sent(result: number, done: PrivateFreight['done']): void {
    const error = result < 0 ? sendError(result) : undefined
    if (done !== undefined) done(error)
    // For want of memory, say: the other side would wait for ever for what it was not told.
    else if (error !== undefined && error.code !== 'EPIPE') setImmediate(() => this.#fail(error))
  }

  /** See {@link PacketSocket.readNow}. */
  readNow(enough: () => boolean): void {
    this.#socket.readNow(enough)
  }

  /** See {@link PacketSocket.peerGone}. */
  peerGone(): void {
    this.#socket.peerGone()
  }

  /** Keeps the process alive; by default the connection does not. */
  ref(): void {
    this.#socket.ref()
  }

  unref(): void {
    this.#socket.unref()
  }

  close(): void {
    this.#socket.close()
  }

  /** What this side lacks (memory, mappings) ends the connection too. */
  #attempt(message: PrivateMessage, fd: number, second: number): string | undefined {
    try {
      return this.#handler.message(message, fd, second)
    } catch (error) {
      if (error instanceof DmaBufError) return error.message
      throw error
    }
  }

  #packet(length: number, descriptors: number): boolean {
    const native = addon()
    const message = readPrivate(rx(), length)
    const fd = descriptors > 0 ? (native.scratch.incoming[0] ?? -1) : -1
    const second = descriptors > 1 ? (native.scratch.incoming[1] ?? -1) : -1
    closeIncoming(descriptors, 2)
    let wrong: string | undefined
    if (typeof message === 'string') wrong = message
    else if (descriptors > 2 || (descriptors > 1 && !isFence(message)))
      wrong = `${descriptors} descriptors with a private message`
    if (wrong !== undefined || typeof message === 'string') {
      native.closeLater([fd, second].filter((each) => each >= 0))
    } else wrong = this.#attempt(message, fd, second)
    if (wrong !== undefined) return this.#fail(wrong)
    return this.#roomForAnswers()
  }

  #fail(reason: DmaBufError | string): false {
    if (this.#socket.ended) return false
    this.#handler.failing?.()
    this.#socket.close()
    this.#handler.end(reason)
    return false
  }

  /** Whoever asks and does not read the answers is not listened to until it has read some. */
  #roomForAnswers(): boolean {
    if (this.#socket.waiting <= limits.maxQueuedAnswers) return true
    void this.#socket.flushed().then(() => this.#socket.resume())
    return false
  }
}

/** Only a fence has two descriptors. */
function isFence({ type }: PrivateMessage): boolean {
  return type === PrivateType.fence || type === PrivateType.importFence
}
