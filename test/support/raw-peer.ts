import { errno } from '../../src/internal/errors.ts'
import { Meta } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { Channel, type ChannelOptions } from '../../src/share/channel.ts'
import { type Handle, writeHandle } from '../../src/share/handle.ts'
import {
  HANDLE_BYTES,
  HEADER_BYTES,
  HELLO_FULL,
  type Header,
  type HeaderInit,
  PacketType,
  readHeader,
  writeHeader,
} from '../../src/transport/packet.ts'
import { until } from './until.ts'

export interface RawPacket {
  readonly header: Header
  readonly bytes: Uint8Array
  /** The test's to close. */
  readonly descriptors: number[]
}

/**
 * The other end of a channel without the library: it sends any bytes with any descriptors. It speaks through the raw
 * socket calls of the addon, and no code that is tested decides what it says.
 */
export class RawPeer implements Disposable {
  readonly fd: number
  #open = true

  constructor(fd: number) {
    this.fd = fd
  }

  /** A channel and its raw peer. */
  static pair(options?: ChannelOptions): [channel: Channel, peer: RawPeer] {
    const [channel, end] = Channel.pair(options)
    return [channel, new RawPeer(end.detach())]
  }

  /** The descriptors stay the caller's. Returns the result of `sendmsg`. */
  send(bytes: Uint8Array, descriptors: readonly number[] = []): number {
    const { tx, outgoing } = addon().scratch
    tx.set(bytes)
    outgoing.set(descriptors)
    return addon().send(this.fd, bytes.length, descriptors.length, false)
  }

  hello(argument: number = HELLO_FULL): number {
    return this.send(packet({ type: PacketType.hello, argument }))
  }

  /** Sends and closes the descriptors, as somebody who has no more use for them. */
  give(bytes: Uint8Array, descriptors: readonly number[]): number {
    const result = this.send(bytes, descriptors)
    for (const fd of descriptors) addon().close(fd)
    return result
  }

  /** What stands in the socket, or `undefined` when there is nothing; `'end'` at its end. */
  readNow(): RawPacket | 'end' | undefined {
    const native = addon()
    const length = native.receive(this.fd)
    if (length === -errno.EAGAIN) return undefined
    if (length <= 0) return 'end'
    const { rx, incoming, meta } = native.scratch
    const bytes = rx.slice(0, length)
    const header = readHeader(new DataView(bytes.buffer), length)
    if (typeof header === 'string') throw new Error(header)
    return { header, bytes, descriptors: Array.from(incoming.subarray(0, meta[Meta.descriptors] ?? 0)) }
  }

  /** The next packet of a type; others are closed and passed over. */
  async read(type: number): Promise<RawPacket> {
    return until(() => {
      const found = this.readNow()
      if (found === undefined) return undefined
      if (found === 'end') throw new Error('the channel has closed the connection')
      if (found.header.type === type) return found
      for (const fd of found.descriptors) addon().close(fd)
      return undefined
    }, `a packet of type ${type} comes`)
  }

  close(): void {
    if (this.#open) addon().close(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** A packet of nothing but a header. */
export function packet(init: HeaderInit, tail: Uint8Array = new Uint8Array()): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + tail.length)
  writeHeader(new DataView(bytes.buffer), init)
  bytes.set(tail, HEADER_BYTES)
  return bytes
}

export const plainHandle: Handle = {
  flags: 0,
  exporter: 0,
  record: 0,
  generation: 1,
  idLow: 1,
  idHigh: 0,
  byteLength: 4096,
  offset: 0,
  name: 1,
  exporterName: 'raw',
  label: 'raw',
}

/** A message with these handles, honest in all its lengths unless `lies` say otherwise. */
export function message(
  json: string,
  handles: readonly Partial<Handle>[],
  descriptors: number,
  lies: Partial<HeaderInit> = {},
): Uint8Array {
  const text = new TextEncoder().encode(json)
  const bytes = new Uint8Array(HEADER_BYTES + handles.length * HANDLE_BYTES + text.length)
  const view = new DataView(bytes.buffer)
  const init = { type: PacketType.message, jsonBytes: text.length, handles: handles.length, descriptors }
  writeHeader(view, { ...init, ...lies })
  for (const [index, handle] of handles.entries()) {
    writeHandle(view, HEADER_BYTES + index * HANDLE_BYTES, { ...plainHandle, ...handle })
  }
  bytes.set(text, HEADER_BYTES + handles.length * HANDLE_BYTES)
  return bytes
}
