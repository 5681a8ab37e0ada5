import type { DmaBufError } from '../internal/errors.ts'
import { errno, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import { fenceFrom } from './fence-message.ts'
import { HolderPages, type HolderSlot } from './holder-pages.ts'
import { errorFrom } from './private-body.ts'
import { PRIVATE_BYTES, type PrivateInit, type PrivateMessage, PrivateType } from './private-message.ts'
import { type PrivateFreight, PrivateSocket } from './private-socket.ts'
import { RemoteRequests, type Request } from './remote-requests.ts'
import { rxText } from './scratch-views.ts'

/** Of a writing end: nobody has the reading end. */
const POLLERR = 8

export interface RemoteExporterHandler {
  /** A message about one buffer; `fd` came along (-1: none) and is the handler's to close. Returns what is wrong. */
  aboutBuffer(message: PrivateMessage, fd: number): string | undefined
  /** It is dead, or out of reach for good. */
  ended(): void
  /** The last state segment of this exporter is no longer used. */
  closed(): void
}

/** Which buffer, of which segment. */
export interface BufferName {
  readonly segment: number
  readonly record: number
  readonly idLow: number
  readonly idHigh: number
}

/**
 * What is known of an exporter. `dead`: it was here and has hung up, or nobody answers its door; nothing of it moves any
 * more. `cut`: it is or may be alive, but not within reach (the knock failed, this side could not go on with it), so
 * that nobody tells what it does.
 */
type Reach = 'knocking' | 'open' | 'dead' | 'cut'

/**
 * Another environment that exports to this one: its door, the private connection behind it, the pages shown to
 * it. A holder that could not connect stays unregistered, and its brackets of fixed buffers work all the same.
 */
export class RemoteExporter {
  /** Owned `O_PATH` descriptor, passed on when a buffer is forwarded; -1 without a door. */
  readonly door: number
  /** Resolves when the knock has been answered or given up. */
  readonly ready: Promise<void>
  readonly #handler: RemoteExporterHandler
  readonly #pages: HolderPages
  readonly #requests = new RemoteRequests((waiting) => (waiting ? this.ref() : this.unref()))
  /** By number, how each attachment of this environment hears that its buffer has moved. */
  readonly #attachments = new Map<number, () => void>()
  #socket: PrivateSocket | undefined
  /** What is to be sent when the connection is there. */
  #early: (() => void)[] = []
  #reach: Reach = 'knocking'
  #welcome = false
  #users = 0
  /** How many wait for something that only a message can bring. */
  #refs = 0

  constructor(door: number, connected: number, handler: RemoteExporterHandler) {
    this.door = door
    this.#handler = handler
    this.#pages = new HolderPages((fd) => this.#socket?.send({ type: PrivateType.page }, { fd }))
    this.ready = connected >= 0 ? Promise.resolve(this.#connected(connected)) : this.#knock()
  }

  get alive(): boolean {
    return this.#reach !== 'dead'
  }

  /** It may be alive, but nobody will tell here what it does. */
  get cut(): boolean {
    return this.#reach === 'cut'
  }

  use(): void {
    this.#users++
  }

  unuse(): void {
    if (--this.#users > 0) return
    this.#reach = 'dead'
    this.#socket?.close()
    this.#requests.end()
    this.#pages.close()
    if (this.door >= 0) addon().close(this.door)
    this.#handler.closed()
  }

  takeSlot(): HolderSlot {
    return this.#pages.take()
  }

  giveSlot(slot: HolderSlot): void {
    this.#pages.give(slot)
  }

  // ---- what is sent -----------------------------------------------------------------------------------------

  /** Says that this environment has a buffer, with a writing end of its leash as the proof. Returns its serial. */
  register(name: BufferName, slot: HolderSlot, leash: number): number {
    const serial = this.#requests.nextSerial()
    const message = { type: PrivateType.register, ...namePart(name), serial, argument: slot.number }
    if (this.#reach === 'open') this.#socket?.send(message, { fd: leash })
    if (this.#reach !== 'knocking') return serial
    // The leash may be closed by then; the buffer with it.
    const own = addon().duplicate(leash)
    if (own < 0) return serial
    this.#early.push(() => {
      if (this.#socket?.ended === false) this.#socket.send(message, { fd: own })
      addon().close(own)
    })
    return serial
  }

  /** Sends a message that names a buffer and needs no answer. */
  tell(name: BufferName, message: PrivateInit, freight: PrivateFreight = {}): void {
    const send = () => {
      if (this.#socket?.ended === false) this.#socket.send({ ...message, ...namePart(name) }, freight)
      else freight.sent?.()
    }
    if (this.#reach === 'knocking') this.#early.push(send)
    else send()
  }

  /** Sends a request; the serial by which it can be cancelled. Throws `ENODEV` when there is nobody to ask. */
  ask(name: BufferName, message: PrivateInit, request: Request, freight?: PrivateFreight): number {
    if (this.#reach === 'dead' || this.#reach === 'cut') throw problem('exporterGone', { name: request.name })
    const serial = this.#requests.add(request)
    this.tell(name, { ...message, serial }, freight)
    return serial
  }

  /** A number for an attachment. `moved` is called when its buffer has moved, never in the middle of something. */
  addAttachment(moved: (() => void) | undefined, name: string): number {
    const count = this.#attachments.size
    if (count >= limits.maxAttachmentsPerHolder)
      throw problem('requests', { count, what: 'attachments', name })
    let id = this.#requests.nextSerial()
    while (this.#attachments.has(id)) id = this.#requests.nextSerial()
    this.#attachments.set(id, moved === undefined ? () => {} : () => queueMicrotask(moved))
    return id
  }

  removeAttachment(id: number): void {
    this.#attachments.delete(id)
  }

  /** Handles messages that are here already, until there is enough. */
  readNow(enough: () => boolean): void {
    if (this.#reach === 'open') this.#socket?.readNow(enough)
  }

  /** Somebody waits for a message, which keeps the process alive; ended by {@link unref}. */
  ref(): void {
    if (++this.#refs === 1) this.#socket?.ref()
  }

  unref(): void {
    if (--this.#refs === 0) this.#socket?.unref()
  }

  // ---- the connection ---------------------------------------------------------------------------------------

  async #knock(): Promise<void> {
    const fd = await addon().connectDoor(this.door, limits.doorTimeout)
    if (this.#users === 0) {
      if (fd >= 0) addon().close(fd)
      this.#sendEarly()
    } else if (fd >= 0) this.#connected(fd)
    // Refused: the exporter is gone. Anything else: it may be there, out of reach, and nobody registers.
    else this.#ended(fd === -errno.ECONNREFUSED ? 'dead' : 'cut')
  }

  #connected(fd: number): void {
    this.#socket = new PrivateSocket(fd, {
      message: (message, passed, second) => this.#message(message, passed, second),
      end: (error) => this.#hungUp(error),
    })
    this.#reach = 'open'
    if (this.#refs > 0) this.#socket.ref()
    for (const page of this.#pages.descriptors) this.#socket.send({ type: PrivateType.page }, { fd: page })
    this.#sendEarly()
  }

  /** Early registrations hold descriptors of their own, which running them without a connection closes. */
  #sendEarly(): void {
    const early = this.#early
    this.#early = []
    for (const act of early) act()
  }

  #hungUp(error: DmaBufError | string | undefined): void {
    if (error !== undefined) this.#ended('cut')
    // Turned away at the door, by one who lives, or dead before it could answer.
    else if (!this.#welcome && this.door >= 0) void this.#knockAgain()
    else this.#ended('dead')
  }

  async #knockAgain(): Promise<void> {
    this.#ended('cut')
    await this.#askDoor()
  }

  /**
   * Finds out whether an exporter that is out of reach is dead: nobody answers its door then, and nobody reads the leash of a
   * buffer of it (a writing end, borrowed; -1: none), since it alone has the reading end. The leash tells where there is no
   * door, too.
   */
  async askAlive(leash: number): Promise<void> {
    if (this.#reach !== 'cut') return
    if (leash >= 0 && (addon().pollNow(leash, 0) & POLLERR) !== 0) this.#ended('dead')
    else await this.#askDoor()
  }

  async #askDoor(): Promise<void> {
    if (this.door < 0) return
    const fd = await addon().connectDoor(this.door, limits.doorTimeout)
    if (fd >= 0) addon().close(fd)
    if (this.#users > 0 && this.#reach === 'cut' && fd === -errno.ECONNREFUSED) this.#ended('dead')
  }

  #ended(reach: 'dead' | 'cut'): void {
    this.#reach = reach
    this.#sendEarly()
    this.#requests.end()
    this.#handler.ended()
  }

  #message(message: PrivateMessage, fd: number, second: number): string | undefined {
    if (message.type === PrivateType.fence) {
      const fence = fenceFrom(fd, second)
      return typeof fence === 'string' ? fence : this.#requests.fence(message.serial, fence)
    }
    if (fd >= 0 && message.type !== PrivateType.storage) {
      addon().closeLater([fd])
      return 'an exporter sent a descriptor that nobody asked for'
    }
    switch (message.type) {
      case PrivateType.welcome:
        this.#welcome = true
        return undefined
      case PrivateType.done:
      case PrivateType.segments:
        return this.#requests.answered(message)
      case PrivateType.error:
        if (message.bodyBytes === 0) return this.#handler.aboutBuffer(message, -1)
        return this.#requests.refused(message.serial, errorFrom(bodyText(message)))
      case PrivateType.moved:
        this.#attachments.get(message.argument)?.()
        return undefined
      case PrivateType.revoked:
      case PrivateType.freed:
      case PrivateType.storage:
      case PrivateType.go:
      case PrivateType.evicted:
        return this.#handler.aboutBuffer(message, fd)
      default:
        return `a private message of type ${message.type}`
    }
  }
}

function bodyText({ bodyBytes }: PrivateMessage): string {
  return rxText().toString('utf8', PRIVATE_BYTES, PRIVATE_BYTES + bodyBytes)
}

/** Only the four words: a name is often part of something larger. */
function namePart({ segment, record, idLow, idHigh }: BufferName): BufferName {
  return { segment, record, idLow, idHigh }
}
