import { DmaBufError, errno } from '../internal/errors.ts'
import { addon } from '../native/load.ts'
import { closeIncoming, PacketSocket } from '../transport/packet-socket.ts'
import { PRIVATE_BYTES, type PrivateMessage, readPrivate, writePrivate } from './private-message.ts'
import { rx, tx } from './scratch-views.ts'

export interface PrivateHandler {
  /** `fd` came along (-1: none) and is the handler's to close. Returns what is wrong, if something is. */
  message(message: PrivateMessage, fd: number): string | undefined
  end(error: DmaBufError | string | undefined): void
}

/** The private connection of one holder and one exporter: small messages with at most one descriptor. */
export class PrivateSocket {
  readonly #socket: PacketSocket
  readonly #handler: PrivateHandler

  constructor(fd: number, handler: PrivateHandler) {
    this.#handler = handler
    this.#socket = new PacketSocket(fd, {
      packet: (length, descriptors) => this.#packet(length, descriptors),
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

  /** Sends with one borrowed descriptor, or none (-1). A full socket waits. */
  send(message: Partial<PrivateMessage> & { type: number }, fd = -1): void {
    const native = addon()
    writePrivate(tx(), message)
    const count = fd < 0 ? 0 : 1
    if (count === 1) native.scratch.outgoing[0] = fd
    const result = this.#socket.trySend(PRIVATE_BYTES, count)
    if (result !== -errno.EAGAIN) return
    // It may be closed before there is room.
    const own = fd < 0 ? -1 : native.duplicate(fd)
    if (own >= 0) native.scratch.outgoing[0] = own
    this.#socket.queue(PRIVATE_BYTES, own < 0 ? 0 : 1, false, () => {
      if (own >= 0) native.close(own)
    })
  }

  /** See {@link PacketSocket.peerGone}. */
  peerGone(): void {
    this.#socket.peerGone()
  }

  close(): void {
    this.#socket.close()
  }

  /** What this side lacks (memory, mappings) ends the connection too. */
  #attempt(message: PrivateMessage, fd: number): string | undefined {
    try {
      return this.#handler.message(message, fd)
    } catch (error) {
      if (error instanceof DmaBufError) return error.message
      throw error
    }
  }

  #packet(length: number, descriptors: number): boolean {
    const native = addon()
    const message = readPrivate(rx(), length)
    const fd = descriptors > 0 ? (native.scratch.incoming[0] ?? -1) : -1
    closeIncoming(descriptors, 1)
    let wrong: string | undefined
    if (typeof message === 'string') wrong = message
    else if (descriptors > 1) wrong = `${descriptors} descriptors with a private message`
    if (wrong !== undefined || typeof message === 'string') {
      if (fd >= 0) native.closeLater([fd])
    } else wrong = this.#attempt(message, fd)
    if (wrong === undefined) return true
    this.#socket.close()
    this.#handler.end(wrong)
    return false
  }
}
