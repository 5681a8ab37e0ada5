import type { HolderInfo } from '../dmabuf/shared-state.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import type { DmaBufError } from '../internal/errors.ts'
import { errno } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { admitLeash } from '../memory/gate.ts'
import { addon } from '../native/load.ts'
import { hangups } from '../sync/hangup-watch.ts'
import { type Credentials, socketCredentials } from '../transport/credentials.ts'
import { fenceFrom } from './fence-message.ts'
import { HolderRequests } from './holder-requests.ts'
import { readFaults } from './private-body.ts'
import {
  FAULT_BODY_BYTES,
  PRIVATE_BYTES,
  type PrivateInit,
  type PrivateMessage,
  PrivateType,
} from './private-message.ts'
import { type PrivateFreight, PrivateSocket } from './private-socket.ts'
import type { Published } from './published.ts'
import type { RegisteredHolder, Registration } from './registration.ts'
import { rx } from './scratch-views.ts'
import { ShownPages } from './shown-pages.ts'

const POLLIN = 1

export interface HolderOwner {
  find(segment: number, record: number, idLow: number, idHigh: number): Published | undefined
  closed(holder: HolderConnection): void
}

/** The exporter's side of one holder: its pages, what it registered, and what becomes of that when it dies. */
export class HolderConnection implements RegisteredHolder {
  readonly credentials: Credentials
  readonly #owner: HolderOwner
  readonly #socket: PrivateSocket
  readonly #pidfd: number
  readonly #pages = new ShownPages()
  readonly #registered = new Map<Published, Registration>()
  readonly #requests: HolderRequests
  #deadline: NodeJS.Timeout | undefined
  #gone = false

  constructor(fd: number, owner: HolderOwner) {
    this.#owner = owner
    this.credentials = socketCredentials(fd)
    this.#requests = new HolderRequests(this.credentials.pid, (message, freight) =>
      this.send(message, freight),
    )
    this.#socket = new PrivateSocket(fd, {
      message: (message, passed, second) => this.#message(message, passed, second),
      failing: () => this.#evict(),
      end: (error) => this.#end(error),
    })
    // A fork can keep the socket open after its owner died, a worker can end without its process: either tells.
    this.#pidfd = this.credentials.pid === process.pid ? -1 : addon().peerPidfd(fd)
    // What it had sent still counts: a registration may be waiting in the socket.
    if (this.#pidfd >= 0) hangups.once(this.#pidfd, POLLIN, () => this.#socket.peerGone())
    this.#deadline = setTimeout(() => this.#end('no first word within the deadline'), limits.helloTimeout)
    this.#deadline.unref()
  }

  describe(slot: number): HolderInfo {
    const { pid, uid, gid } = this.credentials
    return {
      pid,
      uid,
      gid,
      openBrackets: this.#pages.openBrackets(slot),
      openWriteBrackets: this.#pages.openWriteBrackets(slot),
      generation: this.#pages.mapped(slot),
      bracketFaults: this.#pages.faults(slot),
    }
  }

  openBrackets(slot: number): number {
    return this.#pages.openBrackets(slot)
  }

  openWriteBrackets(slot: number): number {
    return this.#pages.openWriteBrackets(slot)
  }

  get ended(): boolean {
    return this.#socket.ended
  }

  get uid(): number {
    return this.credentials.uid
  }

  send(message: PrivateInit, freight?: PrivateFreight): void {
    this.#socket.send(message, freight)
  }

  fail(reason: string): void {
    this.#evict()
    this.#end(reason)
  }

  close(): void {
    this.#end(undefined)
  }

  #message(message: PrivateMessage, fd: number, second: number): string | undefined {
    if (message.type === PrivateType.page) return this.#addPage(fd)
    if (this.#deadline !== undefined) {
      if (fd >= 0) addon().closeLater([fd])
      return 'its first message is no page'
    }
    if (message.type === PrivateType.register) return this.#register(message, fd)
    const imported = message.type === PrivateType.importFence ? fenceFrom(fd, second) : undefined
    if (typeof imported === 'string') return imported
    if (fd >= 0 && imported === undefined) {
      addon().closeLater([fd])
      return `a descriptor with a private message of type ${message.type}`
    }
    const { segment, record, idLow, idHigh } = message
    const published = this.#owner.find(segment, record, idLow, idHigh)
    const registration = published === undefined ? undefined : this.#registered.get(published)
    switch (message.type) {
      case PrivateType.release:
        if (![0, FAULT_BODY_BYTES].includes(message.bodyBytes)) return 'a release that counts something else'
        if (published === undefined || registration === undefined) return undefined
        // It says so itself, because its slot may be another buffer's by now.
        if (message.bodyBytes > 0) published.addFaults(readFaults(rx(), PRIVATE_BYTES))
        this.#drop(published, registration)
        return undefined
      case PrivateType.lowered:
        if (registration?.serial === message.serial) published?.audience.lowered(registration)
        return undefined
      case PrivateType.taken:
        if (registration?.serial === message.serial) published?.audience.taken(registration)
        return undefined
      default:
        return this.#requests.message(message, registration === undefined ? undefined : published, imported)
    }
  }

  #addPage(fd: number): string | undefined {
    const wrong = this.#pages.add(fd)
    if (wrong !== undefined || this.#deadline === undefined) return wrong
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    this.#socket.send({ type: PrivateType.welcome })
    if (diagnostics.holderConnected.hasSubscribers) diagnostics.holderConnected.publish(this.credentials)
    return undefined
  }

  #register(message: PrivateMessage, fd: number): string | undefined {
    if (fd < 0) return 'a registration without a leash'
    const native = addon()
    const admitted = admitLeash(fd)
    if (admitted !== true) {
      native.closeLater([fd])
      return admitted
    }
    const { segment, record, idLow, idHigh, serial, argument: slot } = message
    const published = this.#owner.find(segment, record, idLow, idHigh)
    const proven = published?.leash.owns(fd) === true
    native.close(fd)
    if (!this.#pages.has(slot)) return `slot ${slot} of a page that is not there`
    if (published === undefined || !proven) {
      // Released meanwhile, or never theirs: an answer, not the end of the connection.
      this.send({ type: PrivateType.error, segment, record, idLow, idHigh, serial, argument: errno.EACCES })
      return undefined
    }
    const former = this.#registered.get(published)
    if (former !== undefined) published.audience.remove(former)
    const registration: Registration = {
      ...{ holder: this, slot, serial, unread: 0 },
      dropped: () => this.#forget(published, registration),
    }
    this.#registered.set(published, registration)
    published.add(registration)
    return undefined
  }

  #drop(published: Published, registration: Registration): void {
    published.audience.remove(registration)
    this.#forget(published, registration)
  }

  #forget(published: Published, registration: Registration): void {
    if (this.#registered.get(published) !== registration) return
    this.#registered.delete(published)
    this.#requests.drop(published)
  }

  /** Else a holder would take the hang-up for the death of its exporter, and go on inside storage that moves. */
  #evict(): void {
    for (const [{ name, movable }, { serial }] of this.#registered) {
      if (movable) this.send({ type: PrivateType.evicted, serial, ...name })
    }
  }

  #end(error: DmaBufError | string | undefined): void {
    if (this.#gone) return
    this.#gone = true
    this.#socket.close()
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    if (this.#pidfd >= 0 && hangups.cancel(this.#pidfd)) addon().close(this.#pidfd)
    let interrupted = 0
    for (const [published, { slot }] of this.#registered) {
      published.addFaults(this.#pages.faults(slot))
      if (this.#pages.openWriteBrackets(slot) === 0) continue
      interrupted++
      published.countBroken()
    }
    this.#requests.close()
    for (const [published, registration] of this.#registered) published.audience.remove(registration)
    const buffers = this.#registered.size
    this.#registered.clear()
    this.#pages.close()
    this.#owner.closed(this)
    if (error !== undefined && diagnostics.peerDropped.hasSubscribers) {
      diagnostics.peerDropped.publish({ ...this.credentials, what: String(error) })
    }
    if (diagnostics.holderGone.hasSubscribers) {
      diagnostics.holderGone.publish({ ...this.credentials, buffers, interrupted })
    }
  }
}
