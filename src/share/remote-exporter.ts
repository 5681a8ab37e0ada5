import { errno } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import { HolderPages, type HolderSlot } from './holder-pages.ts'
import type { PrivateMessage } from './private-message.ts'
import { PrivateType } from './private-message.ts'
import { PrivateSocket } from './private-socket.ts'

export interface RemoteExporterHandler {
  revoked(message: PrivateMessage): void
  freed(message: PrivateMessage): void
  /** The exporter says that what this side shows as a leash is none of the buffer's. */
  refused(message: PrivateMessage): void
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
 * Another environment that exports to this one: its door, the private connection behind it, the pages shown to
 * it. It is *alive* until its connection hangs up; a holder that could not connect stays unregistered, and its
 * brackets work all the same.
 */
export class RemoteExporter {
  /** Owned `O_PATH` descriptor, passed on when a buffer is forwarded; -1 without a door. */
  readonly door: number
  /** Resolves when the knock has been answered or given up. */
  readonly ready: Promise<void>
  readonly #handler: RemoteExporterHandler
  readonly #pages: HolderPages
  #socket: PrivateSocket | undefined
  /** Registrations made while the connection is not there yet. */
  #early: (() => void)[] = []
  #dead = false
  #unreachable = false
  #users = 0

  constructor(door: number, connected: number, handler: RemoteExporterHandler) {
    this.door = door
    this.#handler = handler
    this.#pages = new HolderPages((fd) => this.#socket?.send({ type: PrivateType.page }, fd))
    this.ready = connected >= 0 ? Promise.resolve(this.#connected(connected)) : this.#knock()
  }

  get alive(): boolean {
    return !this.#dead
  }

  use(): void {
    this.#users++
  }

  unuse(): void {
    if (--this.#users > 0) return
    this.#dead = true
    this.#socket?.close()
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

  /** Says that this environment has a buffer, with a writing end of its leash as the proof. */
  register(name: BufferName, slot: HolderSlot, leash: number): void {
    if (this.#dead || this.#unreachable) return
    if (this.#socket === undefined) {
      // The leash may be closed by then; the buffer with it.
      const own = addon().duplicate(leash)
      if (own < 0) return
      this.#early.push(() => {
        this.#register(name, slot, own)
        addon().close(own)
      })
      return
    }
    this.#register(name, slot, leash)
  }

  release(name: BufferName): void {
    if (this.#dead || this.#unreachable) return
    if (this.#socket === undefined) this.#early.push(() => this.#release(name))
    else this.#release(name)
  }

  #release(name: BufferName): void {
    if (this.#socket?.ended === false) this.#socket.send({ type: PrivateType.release, ...namePart(name) })
  }

  #register(name: BufferName, slot: HolderSlot, leash: number): void {
    const socket = this.#socket
    if (socket === undefined || socket.ended) return
    socket.send({ type: PrivateType.register, ...namePart(name), argument: slot.number }, leash)
  }

  async #knock(): Promise<void> {
    const fd = await addon().connectDoor(this.door, limits.doorTimeout)
    if (this.#users === 0) {
      if (fd >= 0) addon().close(fd)
      this.#dropEarly()
    } else if (fd >= 0) this.#connected(fd)
    // Refused: the exporter is gone. Anything else: it may be there, out of reach, and nobody registers.
    else if (fd === -errno.ECONNREFUSED) this.#hungUp()
    else {
      this.#unreachable = true
      this.#dropEarly()
    }
  }

  #connected(fd: number): void {
    this.#socket = new PrivateSocket(fd, {
      message: (message, passed) => this.#message(message, passed),
      end: () => this.#hungUp(),
    })
    for (const page of this.#pages.descriptors) this.#socket.send({ type: PrivateType.page }, page)
    const early = this.#early
    this.#early = []
    for (const act of early) act()
  }

  #hungUp(): void {
    this.#dead = true
    this.#dropEarly()
  }

  /** Early registrations hold descriptors of their own, which running them without a connection closes. */
  #dropEarly(): void {
    const early = this.#early
    this.#early = []
    for (const act of early) act()
  }

  #message(message: PrivateMessage, fd: number): string | undefined {
    if (fd >= 0) {
      addon().closeLater([fd])
      return 'an exporter sent a descriptor that nobody asked for'
    }
    if (message.type === PrivateType.revoked) this.#handler.revoked(message)
    else if (message.type === PrivateType.freed) this.#handler.freed(message)
    else if (message.type === PrivateType.error) this.#handler.refused(message)
    else if (message.type !== PrivateType.welcome) {
      return `a private message of type ${message.type}`
    }
    return undefined
  }
}

/** Only the four words: a name is often part of something larger. */
function namePart({ segment, record, idLow, idHigh }: BufferName): BufferName {
  return { segment, record, idLow, idHigh }
}
