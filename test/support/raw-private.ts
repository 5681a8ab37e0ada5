import { errno } from '../../src/internal/errors.ts'
import { Meta } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import {
  PRIVATE_BYTES,
  type PrivateInit,
  type PrivateMessage,
  readPrivate,
  writePrivate,
} from '../../src/share/private-message.ts'
import { until } from './until.ts'

/** A message with its body, and with what came along, which is the test's to close. */
export type RawMessage = PrivateMessage & { readonly body: Uint8Array; readonly descriptors: number[] }

/** One end of a private connection without the library: a holder's or an exporter's. */
export class RawPrivate implements Disposable {
  readonly fd: number
  #open = true

  /** Consumes `fd`. */
  constructor(fd: number) {
    this.fd = fd
  }

  /** The descriptor stays the caller's. */
  send(values: PrivateInit, fd = -1, body: Uint8Array = new Uint8Array()): number {
    const bytes = new Uint8Array(PRIVATE_BYTES + body.length)
    writePrivate(new DataView(bytes.buffer), values)
    bytes.set(body, PRIVATE_BYTES)
    return this.sendBytes(bytes, fd < 0 ? [] : [fd])
  }

  sendBytes(bytes: Uint8Array, descriptors: readonly number[] = []): number {
    const { tx, outgoing } = addon().scratch
    tx.set(bytes)
    outgoing.set(descriptors)
    return addon().send(this.fd, bytes.length, descriptors.length, false)
  }

  /** What stands in the socket, or `undefined`; `'end'` when the other side has hung up. */
  readNow(): RawMessage | 'end' | undefined {
    const length = addon().receive(this.fd)
    if (length === -errno.EAGAIN) return undefined
    if (length <= 0) return 'end'
    const { rx, incoming, meta } = addon().scratch
    const bytes = rx.slice(0, length)
    const descriptors = Array.from(incoming.subarray(0, meta[Meta.descriptors] ?? 0))
    const message = readPrivate(new DataView(bytes.buffer), length)
    if (typeof message === 'string') throw new Error(message)
    return { ...message, body: bytes.slice(PRIVATE_BYTES), descriptors }
  }

  /** The next message; `'end'` when the other side has hung up. */
  read(): Promise<RawMessage | 'end'> {
    return until(() => this.readNow(), 'the other side answers')
  }

  /** The next message of a type; what came with others is closed. */
  async readType(type: number): Promise<RawMessage> {
    for (;;) {
      const message = await this.read()
      if (message === 'end') throw new Error('the other side has hung up')
      if (message.type === type) return message
      for (const fd of message.descriptors) addon().close(fd)
    }
  }

  close(): void {
    if (this.#open) addon().close(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
