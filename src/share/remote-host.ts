import type { DmaDirection } from '../dma/constraints.ts'
import type {
  AttachmentHost,
  DeviceDescription,
  HostAttachment,
  HostMapping,
} from '../dmabuf/attachment-host.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { abortable } from '../internal/abort.ts'
import { type DmaBufError, problem } from '../internal/errors.ts'
import { deviceText } from './device-text.ts'
import { directionBody, readSegments } from './private-body.ts'
import { PRIVATE_BYTES, type PrivateInit, type PrivateMessage, PrivateType } from './private-message.ts'
import type { PrivateFreight } from './private-socket.ts'
import type { Request } from './remote-requests.ts'
import { rx } from './scratch-views.ts'
import { SegmentCollector } from './segment-collector.ts'

/** The buffer of another exporter to which devices of this environment attach. */
export interface HostOwner {
  readonly core: BufferCore
  /** Why the exporter does nothing for this holder any more, if that is so. */
  readonly lost: DmaBufError | undefined
  /** Asks for something that is simply done, or refused. */
  request(message: PrivateInit, body?: Uint8Array): Promise<void>
  /** Asks for something whose answer is looked at; the serial by which it can be cancelled. */
  ask(message: PrivateInit, request: Request, freight?: PrivateFreight): number
  /** Needs no answer. */
  tell(message: PrivateInit, body?: Uint8Array): void
  /** A number for an attachment, whose device wants to be told of moves. */
  addAttachment(moved: (() => void) | undefined): number
  removeAttachment(id: number): void
  /** Maps the present storage, if no bracket is open. */
  settle(): void
}

const encoder = new TextEncoder()

/** Attaches devices of this environment to a buffer of another: the exporter keeps the attachments, behind its door. */
export class RemoteHost implements AttachmentHost {
  readonly #owner: HostOwner

  constructor(owner: HostOwner) {
    this.#owner = owner
  }

  async attach(device: DeviceDescription): Promise<HostAttachment> {
    const owner = this.#owner
    if (owner.lost !== undefined) throw owner.lost
    const { moveNotify } = device
    const id = owner.addAttachment(moveNotify)
    try {
      await owner.request({ type: PrivateType.attach, argument: id }, encoder.encode(deviceText(device)))
    } catch (error) {
      owner.removeAttachment(id)
      throw error
    }
    return new RemoteAttachment(owner, device.deviceName, id)
  }
}

class RemoteAttachment implements HostAttachment {
  readonly #owner: HostOwner
  readonly #deviceName: string
  readonly #id: number
  #detached = false

  constructor(owner: HostOwner, deviceName: string, id: number) {
    this.#owner = owner
    this.#deviceName = deviceName
    this.#id = id
  }

  async map(direction: DmaDirection, signal: AbortSignal | undefined): Promise<HostMapping> {
    this.#check()
    const mapping = await abortable<HostMapping>(signal, 'map', (resolve, reject) => {
      const request = new MapRequest(this.#owner.core, resolve, reject, () => this.unmap(direction))
      const message = { type: PrivateType.map, argument: this.#id }
      const serial = this.#owner.ask(message, request, { body: directionBody(direction) })
      return () => {
        request.withdraw()
        this.#owner.tell({ type: PrivateType.cancel, serial })
      }
    })
    // The storage of its generation came before the table.
    this.#owner.settle()
    return mapping
  }

  unmap(direction: DmaDirection): void {
    this.#owner.tell({ type: PrivateType.unmap, argument: this.#id }, directionBody(direction))
  }

  async pin(): Promise<void> {
    this.#check()
    await this.#owner.request({ type: PrivateType.pin, argument: this.#id })
  }

  unpin(): void {
    this.#owner.tell({ type: PrivateType.unpin, argument: this.#id })
  }

  detach(): void {
    if (this.#detached) return
    this.#detached = true
    this.#owner.removeAttachment(this.#id)
    this.#owner.tell({ type: PrivateType.detach, argument: this.#id })
  }

  #check(): void {
    const { lost, core } = this.#owner
    if (lost !== undefined) throw lost
    if (this.#detached) throw problem('closedAttachment', { device: this.#deviceName, name: core.name })
  }
}

/** A map that the exporter has not answered. One that was withdrawn may be answered all the same, and is undone then. */
class MapRequest implements Request {
  readonly name: string
  readonly #collector: SegmentCollector
  readonly #resolve: (mapping: HostMapping) => void
  readonly #reject: (error: DmaBufError) => void
  readonly #undo: () => void
  #wanted = true

  constructor(
    { name, storage }: BufferCore,
    resolve: (mapping: HostMapping) => void,
    reject: (error: DmaBufError) => void,
    undo: () => void,
  ) {
    this.name = name
    this.#collector = new SegmentCollector(storage.byteLength)
    this.#resolve = resolve
    this.#reject = reject
    this.#undo = undo
  }

  withdraw(): void {
    this.#wanted = false
  }

  answer(message: PrivateMessage): ReturnType<Request['answer']> {
    const { type, argument: offset, generation, bodyBytes } = message
    if (type !== PrivateType.segments) return { wrong: 'no table for a map' }
    const part = readSegments(rx(), PRIVATE_BYTES, bodyBytes)
    if (typeof part === 'string') return { wrong: part }
    const result = this.#collector.add(part.segments, part.left, offset, generation)
    if (typeof result === 'string') return { wrong: result }
    if (result === undefined) return 'more'
    if (this.#wanted) this.#resolve(result)
    else this.#undo()
    return 'last'
  }

  fail(error: DmaBufError): void {
    this.#reject(error)
  }
}
