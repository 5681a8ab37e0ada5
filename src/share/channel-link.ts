import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { aborted } from '../internal/abort.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { DmaBufError, errno, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import { type Credentials, packetCredentials, socketCredentials } from '../transport/credentials.ts'
import { decodeMessage, encodeMessage, type JsonLike } from '../transport/message-json.ts'
import {
  EXPORTER_DOOR,
  HANDLE_BYTES,
  HEADER_BYTES,
  HELLO_FULL,
  type Header,
  layoutOf,
  MESSAGE_ENCODED,
  PacketType,
  readHeader,
  VERSION,
  writeHeader,
} from '../transport/packet.ts'
import { PacketSocket, sendError } from '../transport/packet-socket.ts'
import { hangups } from './hangup-watch.ts'
import { IncomingDescriptors } from './incoming-descriptors.ts'
import { IncomingHandles, type Trust } from './incoming-handles.ts'
import { type Introduction, OutgoingHandles } from './outgoing-handles.ts'
import type { Reader } from './readers.ts'
import { rx, rxText, tx, txText } from './scratch-views.ts'

export interface Received {
  readonly message: JsonLike
  /** In the order in which they were sent; the receiver closes them. */
  readonly buffers: DmaBuf[]
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
/** Where no UTF-8 takes more than three bytes for a UTF-16 unit. */
const UTF8_PER_UNIT = 3

/**
 * The protocol of a channel over its socket: hello, messages with buffers, credits, kept names, goodbye. Knows no
 * waiting: it delivers what comes and says when it ends.
 */
export class ChannelLink implements Reader {
  readonly ready: Promise<void>
  readonly #socket: PacketSocket
  readonly #handler: LinkHandler
  readonly #outgoing = new OutgoingHandles(this)
  readonly #incoming: IncomingHandles
  #peer: Credentials
  #pidfd = -1
  #settleReady: () => void = () => {}
  /** Undefined until the hello has come; a plain peer knows neither credits nor names. */
  #full: boolean | undefined
  #bye = false
  #done = false
  /** Descriptors under way that the peer has not said it has read. */
  #inFlight = 0
  #unacknowledged = 0
  /** Sends that wait for credit, in order. */
  #stalled: (() => void)[] = []
  /** Deliveries that wait for the knock at an exporter's door; later ones wait behind them. */
  #delivery: Promise<void> | undefined
  #pendingDeliveries = 0
  /** Whether the receiver wants to be read ahead for. */
  #more = true

  constructor(fd: number, trust: Trust, handler: LinkHandler) {
    this.#handler = handler
    this.#peer = socketCredentials(fd)
    this.ready = new Promise((resolve) => {
      this.#settleReady = resolve
    })
    this.#incoming = new IncomingHandles(trust, (type, name) => this.#control(type, name))
    addon().passCredentials(fd, true)
    this.#socket = new PacketSocket(fd, {
      packet: (length, descriptors) => this.#packet(length, descriptors),
      end: (error) => this.#socketEnded(error),
    })
    // With this process's own credentials: the kernel shows the maker of an inherited pair as its peer.
    this.#control(PacketType.hello, HELLO_FULL, true)
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
    this.#more = true
    if (!this.#done) this.#socket.resume()
  }

  /** Sends, or queues: then a promise. Throws what is wrong with the message before anything has happened. */
  send(
    message: JsonLike,
    cores: readonly BufferCore[],
    signal: AbortSignal | undefined,
  ): Promise<void> | undefined {
    // Two for each buffer and, the first time, two for its exporter.
    const needed = this.#full === false || cores.length === 0 ? 0 : this.#descriptorsFor(cores)
    if (this.#stalled.length > 0 || (needed > 0 && this.#inFlight + needed > limits.maxDescriptorsInFlight)) {
      return this.#sendLater(message, cores, signal)
    }
    if (needed > 0) for (const core of cores) this.#introduce(core)
    const descriptors = { count: 0, owned: [] as number[] }
    try {
      const length = this.#write(message, cores, descriptors)
      const result = this.#socket.trySend(length, descriptors.count)
      if (result !== 0 && result !== -errno.EAGAIN) throw sendError(result)
      const sent = result === 0 ? undefined : this.#queued(length, descriptors, cores, signal)
      this.#inFlight += descriptors.count
      if (sent === undefined) closeAll(descriptors.owned)
      return sent
    } catch (error) {
      closeAll(descriptors.owned)
      throw error
    }
  }

  /** Closes at once; what waits to be sent is lost. */
  destroy(): void {
    this.#finish({ reason: 'closed' })
  }

  /** Says goodbye behind what waits, then closes. */
  async close(): Promise<void> {
    if (this.#done) return
    while (this.#stalled.length > 0 && !this.#done)
      await new Promise<void>((resolve) => this.#stalled.push(resolve))
    if (!this.#done) this.#control(PacketType.bye, 0)
    await this.#socket.flushed()
    this.#finish({ reason: 'closed' })
  }

  // ---- sending --------------------------------------------------------------------------------------------

  #sendLater(
    message: JsonLike,
    cores: readonly BufferCore[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#stalled.length >= limits.maxQueuedSends)
      throw problem('sendQueue', { count: this.#stalled.length })
    for (const core of cores) core.retain()
    return new Promise<void>((resolve, reject) => {
      const stop = () => {
        const index = this.#stalled.indexOf(go)
        if (index < 0) return
        this.#stalled.splice(index, 1)
        for (const core of cores) core.release()
        reject(aborted(signal as AbortSignal, 'send'))
      }
      const go = () => {
        signal?.removeEventListener('abort', stop)
        try {
          if (this.#done) throw problem('closedChannel', { reason: 'it was closed before the message left' })
          const sent = this.send(message, cores, signal)
          if (sent === undefined) resolve()
          else sent.then(resolve, reject)
        } catch (error) {
          reject(error)
        } finally {
          for (const core of cores) core.release()
        }
      }
      signal?.addEventListener('abort', stop, { once: true })
      this.#stalled.push(go)
    })
  }

  #queued(
    length: number,
    descriptors: { count: number; owned: number[] },
    cores: readonly BufferCore[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#socket.waiting >= limits.maxQueuedSends)
      throw problem('sendQueue', { count: this.#socket.waiting })
    for (const core of cores) core.retain()
    return new Promise<void>((resolve, reject) => {
      const finish = () => {
        signal?.removeEventListener('abort', stop)
        closeAll(descriptors.owned)
        for (const core of cores) core.release()
      }
      const withdraw = this.#socket.queue(length, descriptors.count, false, (error) => {
        finish()
        if (error === undefined) resolve()
        else reject(error)
      })
      const stop = () => {
        if (!withdraw()) return
        this.#inFlight -= descriptors.count
        finish()
        reject(aborted(signal as AbortSignal, 'send'))
      }
      signal?.addEventListener('abort', stop, { once: true })
    })
  }

  #descriptorsFor(cores: readonly BufferCore[]): number {
    let count = 0
    for (const core of cores) if (!this.#outgoing.isKept(core)) count += 4
    return count
  }

  #introduce(core: BufferCore): void {
    if (this.#outgoing.isKept(core)) return
    const introduction = this.#outgoing.introduce(core)
    if (introduction === undefined) return
    const { index, state, door, doorOwned }: Introduction = introduction
    const { outgoing } = addon().scratch
    outgoing[0] = state
    outgoing[1] = door
    const descriptors = door < 0 ? 1 : 2
    const flags = door < 0 ? 0 : EXPORTER_DOOR
    writeHeader(tx(), { type: PacketType.exporter, flags, argument: index, descriptors })
    const result = this.#sendControl(descriptors, false, () => {
      if (doorOwned) addon().close(door)
    })
    if (result === 0) this.#inFlight += descriptors
    else {
      this.#outgoing.unintroduced(core)
      throw sendError(result)
    }
  }

  #write(
    message: JsonLike,
    cores: readonly BufferCore[],
    descriptors: { count: number; owned: number[] },
  ): number {
    const { json, parts, encoded } = encodeMessage(message)
    if (parts.length > limits.maxPartsPerMessage) {
      throw problem('message', {
        why: `it has ${parts.length} binary parts, and the limit is ${limits.maxPartsPerMessage}`,
      })
    }
    const view = tx()
    const { tx: bytes } = addon().scratch
    const lengths = HEADER_BYTES + cores.length * HANDLE_BYTES
    let at = lengths + parts.length * 4
    let partBytes = 0
    for (const part of parts) partBytes += part.length
    const room = limits.maxMessageBytes - at - partBytes
    let jsonBytes = json.length * UTF8_PER_UNIT <= room ? 0 : Buffer.byteLength(json)
    if (room < 0 || jsonBytes > room) {
      const total = at + partBytes + Math.max(jsonBytes, json.length)
      throw problem('messageTooLarge', { bytes: total, limit: limits.maxMessageBytes })
    }
    jsonBytes = txText().write(json, at, 'utf8')
    at += jsonBytes
    for (let index = 0; index < parts.length; index++) {
      const part = parts[index] as Uint8Array
      view.setUint32(lengths + index * 4, part.length, true)
      bytes.set(part, at)
      at += part.length
    }
    for (let index = 0; index < cores.length; index++) {
      this.#outgoing.write(view, HEADER_BYTES + index * HANDLE_BYTES, cores[index] as BufferCore, descriptors)
    }
    writeHeader(view, {
      type: PacketType.message,
      flags: encoded ? MESSAGE_ENCODED : 0,
      jsonBytes,
      handles: cores.length,
      parts: parts.length,
      descriptors: descriptors.count,
    })
    return at
  }

  #control(type: number, argument: number, withCredentials = false): void {
    if (this.#done) return
    writeHeader(tx(), { type, argument })
    this.#sendControl(0, withCredentials, () => {})
  }

  /** Sends or queues: 0. A negative errno when it cannot leave at all; `done` is called in either case. */
  #sendControl(descriptors: number, withCredentials: boolean, done: () => void): number {
    const result = this.#socket.trySend(HEADER_BYTES, descriptors, withCredentials)
    if (result === -errno.EAGAIN) {
      this.#socket.queue(HEADER_BYTES, descriptors, withCredentials, done)
      return 0
    }
    done()
    return result
  }

  // ---- receiving ------------------------------------------------------------------------------------------

  #packet(length: number, count: number): boolean {
    const descriptors = new IncomingDescriptors(count)
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
    return !this.#done && this.#more
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
        this.#credit(header.argument)
        return undefined
      case PacketType.keep:
        this.#outgoing.keep(header.argument)
        return undefined
      case PacketType.forget:
        this.#outgoing.forget(header.argument)
        this.#control(PacketType.forgotten, header.argument)
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
    if (!this.#full) this.#goOn()
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
    // Messages behind it wait until the knock is answered, so that their buffers are registered when they arrive.
    if (added !== undefined) this.#delivery = Promise.all([this.#delivery, added]).then(() => {})
    return undefined
  }

  #message(header: Header, length: number, descriptors: IncomingDescriptors): string | undefined {
    const layout = layoutOf(header, length)
    if (typeof layout === 'string') return layout
    const buffers: DmaBuf[] = []
    const drop = (reason: string) => {
      for (const buffer of buffers) buffer.close()
      return reason
    }
    for (let index = 0; index < header.handles; index++) {
      let core: BufferCore | string
      try {
        core = this.#incoming.receive(rx(), HEADER_BYTES + index * HANDLE_BYTES, descriptors)
      } catch (error) {
        drop('')
        throw error
      }
      if (typeof core === 'string') return drop(core)
      buffers.push(wrap(core))
    }
    if (descriptors.left > 0) return drop(`${descriptors.left} descriptors that belong to no buffer`)
    let message: JsonLike
    try {
      message = decodeBody(header, layout, length)
    } catch (error) {
      return drop(`a message that is not well-formed (${(error as Error).message})`)
    }
    this.#deliver({ message, buffers })
    return undefined
  }

  #deliver(received: Received): void {
    if (diagnostics.messageReceived.hasSubscribers) {
      diagnostics.messageReceived.publish({ peer: this.#peer, buffers: received.buffers.length })
    }
    if (this.#delivery === undefined) {
      this.#more = this.#handler.received(received)
      return
    }
    this.#more = ++this.#pendingDeliveries < limits.maxQueuedReceives
    const delivery = this.#delivery.then(() => {
      this.#pendingDeliveries--
      if (this.#delivery === delivery) this.#delivery = undefined
      if (this.#handler.received(received)) this.resume()
      else this.#more = false
    })
    this.#delivery = delivery
  }

  #acknowledge(count: number): void {
    this.#unacknowledged += count
    if (this.#full !== true || this.#unacknowledged < CREDIT_STEP) return
    this.#control(PacketType.credit, this.#unacknowledged)
    this.#unacknowledged = 0
  }

  #credit(count: number): void {
    this.#inFlight = Math.max(0, this.#inFlight - count)
    this.#goOn()
  }

  #goOn(): void {
    const stalled = this.#stalled
    this.#stalled = []
    for (const go of stalled) go()
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
    this.#goOn()
    this.#outgoing.close()
    this.#incoming.close()
    // Behind what is still to be delivered.
    const report = () => this.#handler.end(end)
    if (this.#delivery === undefined) report()
    else void this.#delivery.then(report)
  }
}

function decodeBody(
  header: Header,
  layout: { partLengths: number; json: number; parts: number },
  length: number,
): JsonLike {
  const { rx: bytes } = addon().scratch
  const view = rx()
  const parts: Uint8Array[] = []
  let at = layout.parts
  for (let index = 0; index < header.parts; index++) {
    const size = view.getUint32(layout.partLengths + index * 4, true)
    if (size > length - at) throw new Error('a part that is longer than the packet')
    parts.push(bytes.slice(at, at + size))
    at += size
  }
  if (at !== length) throw new Error(`${length - at} bytes behind the last part`)
  // The scratch is this process's own memory: nobody changes it under the decoder.
  const json = rxText().toString('utf8', layout.json, layout.parts)
  if ((header.flags & MESSAGE_ENCODED) === 0) return decodeMessage(json, undefined)
  return decodeMessage(json, (index) => {
    const part = parts[index]
    if (part === undefined) throw new Error(`part ${String(index)} that is not there`)
    return part
  })
}

function closeAll(descriptors: number[]): void {
  if (descriptors.length === 0) return
  for (const fd of descriptors.splice(0)) addon().close(fd)
}
