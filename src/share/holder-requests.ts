import type { Access } from '../dmabuf/access.ts'
import { hostOf } from '../dmabuf/attachment.ts'
import type { HostAttachment, HostMapping } from '../dmabuf/attachment-host.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { checkRoom } from '../dmabuf/fences.ts'
import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { runStranger } from '../internal/stranger.ts'
import type { Fence } from '../sync/fence.ts'
import { leavesOf } from '../sync/merge.ts'
import { deviceFrom } from './device-text.ts'
import { accessOf, fenceFreight } from './fence-message.ts'
import { errorText, readDirection, segmentsBody } from './private-body.ts'
import { PRIVATE_BYTES, type PrivateInit, type PrivateMessage, PrivateType } from './private-message.ts'
import type { PrivateFreight } from './private-socket.ts'
import type { Published } from './published.ts'
import { rx, rxText } from './scratch-views.ts'

interface Served {
  readonly published: Published
  readonly host: HostAttachment
}

type Send = (message: PrivateInit, freight?: PrivateFreight) => void

const encoder = new TextEncoder()

/**
 * What one holder asks of this exporter's buffers: to attach devices, to map, to allocate, to stay. Each request has a
 * serial and gets exactly one answer; when the holder is gone, all that it had is undone.
 */
export class HolderRequests {
  readonly #pid: number
  readonly #send: Send
  /** By the holder's numbers for them; a number is taken from the request on. */
  readonly #attachments = new Map<number, Served | undefined>()
  /** What is being worked on, by serial: maps can be cancelled. */
  readonly #pending = new Map<number, AbortController>()
  #closed = false

  constructor(pid: number, send: Send) {
    this.#pid = pid
    this.#send = send
  }

  /**
   * `published` is the buffer that the message names, if this holder is registered for it; `fence` came along. Returns what is
   * wrong.
   */
  message(
    message: PrivateMessage,
    published: Published | undefined,
    fence: Fence | undefined,
  ): string | undefined {
    const { type, serial, argument: id } = message
    switch (type) {
      case PrivateType.want:
        return this.#serve(serial, published, (core, { signal }) => allocate(core, signal))
      case PrivateType.attach:
        return this.#attach(message, published)
      case PrivateType.map:
        return this.#map(message)
      case PrivateType.exportFences:
      case PrivateType.importFence: {
        const access = accessOf(id)
        if (access === undefined) return 'an access that is none'
        return this.#serve(serial, published, (core) =>
          fence === undefined ? this.#exportFences(core, access, serial) : addFence(core, fence, access),
        )
      }
      case PrivateType.pin:
        if (id === 0) return this.#serve(serial, published, () => fix(published))
        return this.#serve(serial, this.#attachments.get(id)?.published, () => this.#served(id).host.pin())
      case PrivateType.unmap: {
        const direction = readDirection(rx(), PRIVATE_BYTES)
        if (direction === undefined) return 'a direction that is none'
        return undo(() => this.#attachments.get(id)?.host.unmap(direction))
      }
      case PrivateType.unpin:
        return undo(() => this.#attachments.get(id)?.host.unpin())
      case PrivateType.detach:
        return undo(() => this.#detach(id))
      case PrivateType.cancel:
        this.#pending.get(serial)?.abort()
        return undefined
      default:
        return `a private message of type ${type}`
    }
  }

  /** This holder has nothing to do with the buffer any more. */
  drop(published: Published): void {
    for (const [id, served] of this.#attachments) {
      if (served?.published === published) undo(() => this.#detach(id))
    }
  }

  /** The holder is gone: what it waits for is cancelled, what it has mapped and pinned is given up, then detached. */
  close(): void {
    this.#closed = true
    for (const pending of this.#pending.values()) pending.abort()
    for (const id of this.#attachments.keys()) undo(() => this.#detach(id))
  }

  #attach(message: PrivateMessage, published: Published | undefined): string | undefined {
    const { serial, argument: id, bodyBytes } = message
    if (id === 0 || this.#attachments.has(id)) return `attachment ${id} is none, or there already`
    if (this.#attachments.size >= limits.maxAttachmentsPerHolder) return 'more attachments than the limit'
    const device = deviceFrom(rxText().toString('utf8', PRIVATE_BYTES, PRIVATE_BYTES + bodyBytes))
    if (device === undefined) return 'a device that is none'
    const { deviceName, constraints, dynamic } = device
    this.#attachments.set(id, undefined)
    const moveNotify = dynamic ? () => this.#tell({ type: PrivateType.moved, argument: id }) : undefined
    return this.#serve(serial, published, async (core) => {
      let host: HostAttachment | undefined
      try {
        host = await hostOf(core).attach({ deviceName, pid: this.#pid, constraints, moveNotify })
      } finally {
        // The holder may be gone by now, or have taken its number back.
        const wanted = this.#attachments.has(id) && !this.#closed
        if (host === undefined) this.#attachments.delete(id)
        else if (wanted && published !== undefined) this.#attachments.set(id, { published, host })
        else host.detach()
      }
    })
  }

  #map({ serial, argument: id }: PrivateMessage): string | undefined {
    const direction = readDirection(rx(), PRIVATE_BYTES)
    if (direction === undefined) return 'a direction that is none'
    return this.#serve(serial, this.#attachments.get(id)?.published, async (_, { signal }) => {
      const mapping = await this.#served(id).host.map(direction, signal)
      this.#tellTable(serial, mapping)
    })
  }

  async #exportFences(core: BufferCore, access: Access, serial: number): Promise<void> {
    const fence = await core.fenceHost().exportFence(access, undefined)
    for (const leaf of leavesOf(fence)) {
      if (!leaf.isSignalled && !this.#closed)
        this.#send({ type: PrivateType.fence, serial }, fenceFreight(leaf))
    }
  }

  #detach(id: number): void {
    const served = this.#attachments.get(id)
    this.#attachments.delete(id)
    served?.host.detach()
  }

  #served(id: number): Served {
    const served = this.#attachments.get(id)
    if (served !== undefined) return served
    throw problem('closedAttachment', { device: `a device of process ${this.#pid}`, name: '' })
  }

  /** The table itself is the answer: the last part says so. */
  #tellTable(serial: number, { segments, offset, generation }: HostMapping): void {
    const message = { type: PrivateType.segments, serial, generation, argument: offset }
    for (let first = 0; first < segments.length; first += limits.maxSegmentsPerPacket) {
      const part = segments.slice(first, first + limits.maxSegmentsPerPacket)
      this.#tell(message, segmentsBody(part, segments.length - first - part.length))
      this.#pending.delete(serial)
    }
  }

  /** Works on a request and answers it, unless `work` has. */
  #serve(
    serial: number,
    published: Published | undefined,
    work: (core: BufferCore, pending: AbortController) => Promise<void>,
  ): string | undefined {
    if (serial === 0 || this.#pending.has(serial)) return `a request with the serial ${serial}`
    if (this.#pending.size >= limits.maxRequestsPerHolder) return 'more requests than the limit'
    const pending = new AbortController()
    this.#pending.set(serial, pending)
    void this.#answer(serial, published?.core, (core) => work(core, pending))
    return undefined
  }

  async #answer(
    serial: number,
    core: BufferCore | undefined,
    work: (core: BufferCore) => Promise<void>,
  ): Promise<void> {
    core?.retain()
    try {
      // Not its buffer, or not any more.
      if (core === undefined) throw problem('revoked', { name: '' })
      await work(core)
      if (this.#pending.delete(serial)) this.#tell({ type: PrivateType.done, serial })
    } catch (error) {
      this.#pending.delete(serial)
      const text = errorText(error, core?.name ?? '')
      this.#tell({ type: PrivateType.error, serial }, encoder.encode(text))
    } finally {
      core?.release()
    }
  }

  #tell(message: PrivateInit, body?: Uint8Array): void {
    if (!this.#closed) this.#send(message, body === undefined ? {} : { body })
  }
}

/** Storage for a buffer that has none, as a CPU access of its exporter would have it. */
async function allocate(core: BufferCore, signal: AbortSignal): Promise<void> {
  if (core.generation === 0) await core.entry?.passable(signal)
}

async function addFence(core: BufferCore, fence: Fence, access: Access): Promise<void> {
  checkRoom(core)
  await core.fenceHost().importFence(fence, access)
}

async function fix(published: Published | undefined): Promise<void> {
  await published?.core.fix()
  // Its record must say so before the answer does.
  published?.noteFixed()
}

/** The exporter's ops are a stranger's code: one that throws must not keep the rest from being undone. */
function undo(act: () => void): undefined {
  runStranger(act)
}
