import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { DmaBufError, problem } from '../internal/errors.ts'
import { addon } from '../native/load.ts'
import { hangups } from '../sync/hangup-watch.ts'
import type { SyncFile } from '../sync/sync-file.ts'
import { type Credentials, packetCredentials, socketCredentials } from '../transport/credentials.ts'
import type { JsonLike } from '../transport/message-json.ts'
import {
  EXPORTER_DOOR,
  HANDLE_BYTES,
  HEADER_BYTES,
  HELLO_FULL,
  type Header,
  layoutOf,
  PacketType,
  readHeader,
  VERSION,
} from '../transport/packet.ts'
import { PacketSocket } from '../transport/packet-socket.ts'
import { Delivery } from './delivery.ts'
import { type OutgoingFence, readFences } from './fence-list.ts'
import { IncomingDescriptors } from './incoming-descriptors.ts'
import { IncomingHandles, type Trust } from './incoming-handles.ts'
import { readBody } from './message-body.ts'
import { MessageSender } from './message-sender.ts'
import type { Reader } from './reader.ts'
import { rx } from './scratch-views.ts'

export interface Received {
  readonly message: JsonLike
  /** In the order in which they were sent; the receiver closes them. */
  readonly buffers: DmaBuf[]
  /** Sync files, in the order in which they were sent; the receiver closes them. */
  readonly fences: SyncFile[]
}

export interface LinkEnd {
  readonly reason: 'closed' | 'closed-by-peer' | 'peer-died' | 'error'
  readonly error?: DmaBufError
}

export interface LinkHandler {
  /** Returns whether more may be read ahead. */
  received(received: Received): boolean
  end(end: LinkEnd): void
}

const POLLIN = 1
/** A credit is given back for so many descriptors at a time. */
const CREDIT_STEP = 32

/**
 * The protocol of a channel over its socket: hello, messages with buffers, credits, kept names, goodbye. Knows no
 * waiting: it delivers what comes and says when it ends.
 */
export class ChannelLink implements Reader {
  readonly ready: Promise<void>
  readonly #socket: PacketSocket
  readonly #handler: LinkHandler
  readonly #sender: MessageSender
  readonly #delivery: Delivery<Received>
  readonly #incoming: IncomingHandles
  #peer: Credentials
  #pidfd = -1
  #settleReady: () => void = () => {}
  /** Undefined until the hello has come; a plain peer knows neither credits nor names. */
  #full: boolean | undefined
  #bye = false
  #done = false
  /** Descriptors read, for which no credit was given back. */
  #unacknowledged = 0

  constructor(fd: number, trust: Trust, handler: LinkHandler) {
    this.#handler = handler
    this.#peer = socketCredentials(fd)
    this.ready = new Promise((resolve) => {
      this.#settleReady = resolve
    })
    this.#incoming = new IncomingHandles(trust, (type, name) => this.#sender.control(type, name))
    addon().passCredentials(fd, true)
    this.#socket = new PacketSocket(fd, {
      packet: (length, descriptors) => this.#packet(length, descriptors),
      end: (error) => this.#socketEnded(error),
    })
    this.#sender = new MessageSender(this.#socket, this)
    this.#delivery = new Delivery(
      (received) => handler.received(received),
      () => this.#socket.resume(),
    )
    // With this process's own credentials: the kernel shows the maker of an inherited pair as its peer.
    this.#sender.control(PacketType.hello, HELLO_FULL, true)
  }

  get greeted(): boolean {
    return this.#full !== undefined
  }

  get ended(): boolean {
    return this.#done
  }

  get uid(): number {
    return this.#peer.uid
  }

  get peer(): Credentials {
    return this.#peer
  }

  ref(): void {
    this.#socket.ref()
  }

  unref(): void {
    this.#socket.unref()
  }

  /** Reading was stopped because the receiver had enough. */
  resume(): void {
    this.#delivery.resume()
  }

  /** Sends, or queues: then a promise. Throws what is wrong with the message before anything has happened. */
  send(
    message: JsonLike,
    cores: readonly BufferCore[],
    signal: AbortSignal | undefined,
    fences: readonly OutgoingFence[],
  ): Promise<void> | undefined {
    return this.#sender.send(message, cores, signal, fences)
  }

  /** Closes at once; what waits to be sent is lost. */
  destroy(): void {
    this.#finish({ reason: 'closed' })
  }

  /** Says goodbye behind what waits, then closes. */
  async close(): Promise<void> {
    if (this.#done) return
    await this.#sender.drained()
    this.#sender.control(PacketType.bye, 0)
    await this.#socket.flushed()
    this.#finish({ reason: 'closed' })
  }

  // ---- receiving ------------------------------------------------------------------------------------------

  #packet(length: number, count: number): boolean {
    const descriptors = IncomingDescriptors.received(count)
    const header = readHeader(rx(), length)
    let wrong: string | DmaBufError | undefined
    if (typeof header === 'string') wrong = header
    else if (header.version !== VERSION) wrong = problem('version', { theirs: header.version, ours: VERSION })
    else if (header.descriptors !== count)
      wrong = `${count} descriptors came where ${header.descriptors} were announced`
    else if (this.#full === undefined && header.type !== PacketType.hello)
      wrong = 'its first packet is no hello'
    else wrong = this.#attempt(header, length, descriptors)
    descriptors.closeRest()
    if (wrong !== undefined) {
      this.#fail(typeof wrong === 'string' ? problem('protocol', { what: wrong }) : wrong)
      return false
    }
    if (count > 0) this.#acknowledge(count)
    return !this.#done && this.#delivery.wanted
  }

  /** What this side lacks (descriptors, memory) ends the channel too: what came is lost. */
  #attempt(
    header: Header,
    length: number,
    descriptors: IncomingDescriptors,
  ): string | DmaBufError | undefined {
    try {
      return this.#dispatch(header, length, descriptors)
    } catch (error) {
      if (error instanceof DmaBufError) return error
      throw error
    }
  }

  #dispatch(header: Header, length: number, descriptors: IncomingDescriptors): string | undefined {
    switch (header.type) {
      case PacketType.hello:
        return this.#hello(header)
      case PacketType.message:
        return this.#message(header, length, descriptors)
      case PacketType.exporter:
        return this.#exporter(header, descriptors)
      case PacketType.bye:
        this.#bye = true
        return undefined
      case PacketType.credit:
        this.#sender.credit(header.argument)
        return undefined
      case PacketType.keep:
        this.#sender.outgoing.keep(header.argument)
        return undefined
      case PacketType.forget:
        this.#sender.outgoing.forget(header.argument)
        this.#sender.control(PacketType.forgotten, header.argument)
        return undefined
      case PacketType.forgotten:
        this.#incoming.kept.forgotten(header.argument)
        return undefined
      default:
        // From a later release: its descriptors are closed, and it is passed over.
        return undefined
    }
  }

  #hello(header: Header): string | undefined {
    if (this.#full !== undefined) return 'a second hello'
    this.#full = (header.argument & HELLO_FULL) !== 0
    const said = packetCredentials()
    // A plain peer does not send them; the kernel's own say nobody (pid 0) when its hello was here before we asked.
    if (said !== undefined && (this.#full || said.pid !== 0)) this.#peer = said
    this.#sender.greeted(this.#full)
    addon().passCredentials(this.#socket.fd, false)
    this.#watchProcess()
    this.#settleReady()
    return undefined
  }

  #exporter(header: Header, descriptors: IncomingDescriptors): string | undefined {
    const state = descriptors.take()
    if (state < 0) return 'an exporter without its state segment'
    const door = (header.flags & EXPORTER_DOOR) !== 0 ? descriptors.take() : -1
    const added = this.#incoming.addExporter(header.argument, state, door)
    if (typeof added === 'string') return added
    if (added !== undefined) this.#delivery.waitFor(added)
    return undefined
  }

  #message(header: Header, length: number, descriptors: IncomingDescriptors): string | undefined {
    const layout = layoutOf(header, length)
    if (typeof layout === 'string') return layout
    const buffers: DmaBuf[] = []
    for (let index = 0; index < header.handles; index++) {
      let core: BufferCore | string
      try {
        core = this.#incoming.receive(rx(), HEADER_BYTES + index * HANDLE_BYTES, descriptors)
      } catch (error) {
        drop(buffers, '')
        throw error
      }
      if (typeof core === 'string') return drop(buffers, core)
      buffers.push(wrap(core))
    }
    const fences =
      header.fences === 0
        ? []
        : attempt(buffers, () => readFences(rx(), layout.fences, header.fences, descriptors))
    if (typeof fences === 'string') return drop(buffers, fences)
    if (descriptors.left > 0)
      return drop(buffers, `${descriptors.left} descriptors that belong to no buffer or fence`)
    let message: JsonLike
    try {
      message = readBody(header, layout, length)
    } catch (error) {
      return drop(buffers, `a message that is not well-formed (${(error as Error).message})`)
    }
    if (diagnostics.messageReceived.hasSubscribers) {
      diagnostics.messageReceived.publish({ peer: this.#peer, buffers: buffers.length })
    }
    this.#delivery.add({ message, buffers, fences })
    return undefined
  }

  #acknowledge(count: number): void {
    this.#unacknowledged += count
    if (this.#full !== true || this.#unacknowledged < CREDIT_STEP) return
    this.#sender.control(PacketType.credit, this.#unacknowledged)
    this.#unacknowledged = 0
  }

  // ---- the end --------------------------------------------------------------------------------------------

  /** A fork or a careless spawn can keep the socket open after the peer has died: its process tells. */
  #watchProcess(): void {
    const { pid } = this.#peer
    if (pid === 0 || pid === process.pid) return
    const pidfd = addon().pidfdOpen(pid)
    if (pidfd < 0) return
    try {
      // What it had sent before it died is delivered first.
      hangups.once(pidfd, POLLIN, () => this.#socket.peerGone())
      this.#pidfd = pidfd
    } catch {
      // No descriptors left to watch with: the socket alone tells.
      addon().close(pidfd)
    }
  }

  #socketEnded(error: DmaBufError | undefined): void {
    if (error !== undefined) this.#finish({ reason: 'error', error })
    else this.#finish({ reason: this.#bye ? 'closed-by-peer' : 'peer-died' })
  }

  #fail(error: DmaBufError): void {
    if (diagnostics.peerDropped.hasSubscribers) {
      diagnostics.peerDropped.publish({ ...this.#peer, what: error.message })
    }
    this.#finish({ reason: 'error', error })
  }

  #finish(end: LinkEnd): void {
    if (this.#done) return
    this.#done = true
    this.#socket.close(end.error)
    if (this.#pidfd >= 0) {
      hangups.cancel(this.#pidfd)
      addon().close(this.#pidfd)
    }
    this.#settleReady()
    this.#sender.close()
    this.#incoming.close()
    this.#delivery.afterwards(() => this.#handler.end(end))
  }
}

/** What this side lacks must not leave buffers open that nobody gets. */
function attempt<T>(buffers: readonly DmaBuf[], read: () => T): T {
  try {
    return read()
  } catch (error) {
    drop(buffers, '')
    throw error
  }
}

/** Takes back what of a message was received already. */
function drop(buffers: readonly DmaBuf[], reason: string): string {
  for (const buffer of buffers) buffer.close()
  return reason
}
