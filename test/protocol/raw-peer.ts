import { Channel } from '../../src/index.ts'
import { Meta } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { type HeaderInit, writeHeader } from '../../src/transport/packet.ts'

/** The other end of a channel as bare bytes and descriptors: what a peer in another language sees and does. */
export class RawPeer implements Disposable {
  readonly fd: number

  constructor(fd: number) {
    this.fd = fd
  }

  /** A channel and the raw end opposite; says hello as a plain peer. */
  static async pair(): Promise<[Channel, RawPeer]> {
    const [channel, end] = Channel.pair()
    const peer = new RawPeer(end.detach())
    peer.send({ type: 1 })
    await channel.ready
    return [channel, peer]
  }

  send(header: HeaderInit, rest: Uint8Array = new Uint8Array(), descriptors: readonly number[] = []): void {
    const { tx, outgoing } = addon().scratch
    writeHeader(new DataView(tx.buffer, tx.byteOffset, tx.byteLength), {
      ...header,
      descriptors: descriptors.length,
    })
    tx.set(rest, 32)
    outgoing.set(descriptors)
    const sent = addon().send(this.fd, 32 + rest.length, descriptors.length, false)
    if (sent < 0) throw new Error(`the raw peer cannot send: ${sent}`)
  }

  /** The next packet that has arrived, or `undefined`. The descriptors are the caller's. */
  receive(): { bytes: Buffer; descriptors: number[] } | undefined {
    const length = addon().receive(this.fd)
    if (length <= 0) return undefined
    const { rx, incoming, meta } = addon().scratch
    const descriptors = Array.from(incoming.subarray(0, meta[Meta.descriptors]))
    return { bytes: Buffer.from(rx.subarray(0, length)), descriptors }
  }

  [Symbol.dispose](): void {
    addon().close(this.fd)
  }
}
