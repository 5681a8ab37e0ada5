import type { HolderInfo } from '../dmabuf/buffer-core.ts'
import { HOLDER_MAGIC, HOLDER_SEGMENT_BYTES, PAGE_VERSION, SLOT_WORDS, SLOTS, Slot } from '../dmabuf/words.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import type { DmaBufError } from '../internal/errors.ts'
import { errno } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { admitLeash, admitSegment } from '../memory/gate.ts'
import { mapSegment } from '../memory/segment.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { hangups } from '../sync/hangup-watch.ts'
import { type Credentials, socketCredentials } from '../transport/credentials.ts'
import { type PrivateMessage, PrivateType } from './private-message.ts'
import { PrivateSocket } from './private-socket.ts'
import type { Published, RegisteredHolder } from './published.ts'

const POLLIN = 1

interface HolderPage {
  readonly words: Uint32Array
  readonly mapping: Mapping
}

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
  readonly #pages: HolderPage[] = []
  readonly #registered = new Map<Published, number>()
  #deadline: NodeJS.Timeout | undefined
  #gone = false

  constructor(fd: number, owner: HolderOwner) {
    this.#owner = owner
    this.credentials = socketCredentials(fd)
    this.#socket = new PrivateSocket(fd, {
      message: (message, passed) => this.#message(message, passed),
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
      openBrackets: this.#word(slot, Slot.count),
      openWriteBrackets: this.#word(slot, Slot.writers),
      generation: this.#anyWord(slot, Slot.mapped),
    }
  }

  get ended(): boolean {
    return this.#socket.ended
  }

  get uid(): number {
    return this.credentials.uid
  }

  send(message: Partial<PrivateMessage> & { type: number }): void {
    if (!this.#socket.ended) this.#socket.send(message)
  }

  forget(published: Published): void {
    this.#registered.delete(published)
  }

  close(): void {
    this.#end(undefined)
  }

  #message(message: PrivateMessage, fd: number): string | undefined {
    switch (message.type) {
      case PrivateType.page:
        return this.#addPage(fd)
      case PrivateType.register:
        return this.#register(message, fd)
      case PrivateType.release:
        if (fd >= 0) addon().closeLater([fd])
        return this.#release(message)
      default:
        if (fd >= 0) addon().closeLater([fd])
        return `a private message of type ${message.type}`
    }
  }

  #addPage(fd: number): string | undefined {
    if (fd < 0) return 'a page without its descriptor'
    const native = addon()
    if (this.#pages.length >= limits.maxHolderSegments) {
      native.closeLater([fd])
      return `more than ${limits.maxHolderSegments} pages`
    }
    const facts = admitSegment(fd, HOLDER_SEGMENT_BYTES)
    if (typeof facts === 'string') {
      native.closeLater([fd])
      return facts
    }
    let page: HolderPage
    try {
      page = mapSegment(fd, HOLDER_SEGMENT_BYTES)
    } finally {
      native.close(fd)
    }
    this.#pages.push(page)
    const version = (page.words[1] ?? 0) & 0xffff
    if (page.words[0] !== HOLDER_MAGIC || version !== PAGE_VERSION) return 'a page without its magic word'
    if (this.#deadline !== undefined) {
      clearTimeout(this.#deadline)
      this.#deadline = undefined
      this.#socket.send({ type: PrivateType.welcome })
      if (diagnostics.holderConnected.hasSubscribers) diagnostics.holderConnected.publish(this.credentials)
    }
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
    const published = this.#owner.find(message.segment, message.record, message.idLow, message.idHigh)
    const proven = published?.leash.owns(fd) === true
    native.close(fd)
    if (message.argument >= this.#pages.length * SLOTS)
      return `slot ${message.argument} of a page that is not there`
    if (published === undefined || !proven) {
      // Released meanwhile, or never theirs: an answer, not the end of the connection.
      const { segment, record, idLow, idHigh } = message
      this.send({ type: PrivateType.error, segment, record, idLow, idHigh, argument: errno.EACCES })
      return undefined
    }
    this.#registered.set(published, message.argument)
    published.addHolder(this, message.argument)
    return undefined
  }

  #release(message: PrivateMessage): string | undefined {
    const published = this.#owner.find(message.segment, message.record, message.idLow, message.idHigh)
    if (published !== undefined && this.#registered.delete(published)) published.removeHolder(this)
    return undefined
  }

  /** One word of a slot, read once. A count beyond the limit is the holder's lie and counts as none. */
  #word(slot: number, word: number): number {
    const value = this.#anyWord(slot, word)
    return value > limits.maxOpenBrackets ? 0 : value
  }

  #anyWord(slot: number, word: number): number {
    const page = this.#pages[Math.floor(slot / SLOTS)]
    return page === undefined ? 0 : Atomics.load(page.words, (1 + (slot % SLOTS)) * SLOT_WORDS + word)
  }

  #end(error: DmaBufError | string | undefined): void {
    if (this.#gone) return
    this.#gone = true
    this.#socket.close()
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    if (this.#pidfd >= 0 && hangups.cancel(this.#pidfd)) addon().close(this.#pidfd)
    let interrupted = 0
    for (const [published, slot] of this.#registered) {
      if (this.#word(slot, Slot.writers) > 0) {
        interrupted++
        published.countBroken()
      }
      published.removeHolder(this)
    }
    const buffers = this.#registered.size
    this.#registered.clear()
    for (const page of this.#pages) page.mapping.close()
    this.#pages.length = 0
    this.#owner.closed(this)
    if (error !== undefined && diagnostics.peerDropped.hasSubscribers) {
      diagnostics.peerDropped.publish({ ...this.credentials, what: String(error) })
    }
    if (diagnostics.holderGone.hasSubscribers) {
      diagnostics.holderGone.publish({ ...this.credentials, buffers, interrupted })
    }
  }
}
