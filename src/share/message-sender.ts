import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { aborted } from '../internal/abort.ts'
import { errno, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import type { JsonLike } from '../transport/message-json.ts'
import {
  EXPORTER_DOOR,
  FENCE_BYTES,
  HANDLE_BYTES,
  HEADER_BYTES,
  PacketType,
  writeHeader,
} from '../transport/packet.ts'
import { type PacketSocket, sendError } from '../transport/packet-socket.ts'
import { noFences, type OutgoingFence, writeFence } from './fence-list.ts'
import { heldBuffer } from './held-buffer.ts'
import { writeBody } from './message-body.ts'
import { type Introduction, type OutgoingDescriptors, OutgoingHandles } from './outgoing-handles.ts'
import type { Reader } from './reader.ts'
import { tx } from './scratch-views.ts'

const noCores: readonly BufferCore[] = []
const isPlaced = (core: BufferCore) => core.entry !== undefined

/** Of a message without buffers, to which nothing is ever added. */
const noDescriptors: OutgoingDescriptors = Object.freeze({ count: 0, owned: [] })

/**
 * The sending half of a channel: messages in order, within the credit that the peer gives for descriptors, and the small
 * packets between them.
 */
export class MessageSender {
  readonly outgoing: OutgoingHandles
  readonly #socket: PacketSocket
  /** A full peer gives credit back; a plain one does not, and is told of no exporter. Undefined before its hello. */
  #full: boolean | undefined
  #closed = false
  /** Descriptors under way that the peer has not said it has read. */
  #inFlight = 0
  /** Sends that wait for credit, or for their buffers to be fixed, in order. */
  #stalled: (() => void)[] = []

  constructor(socket: PacketSocket, reader: Reader) {
    this.#socket = socket
    this.outgoing = new OutgoingHandles(reader)
  }

  /** The peer has said what it is. */
  greeted(full: boolean): void {
    this.#full = full
    this.#goOn()
  }

  /** The peer has read so many descriptors. */
  credit(count: number): void {
    this.#inFlight = Math.max(0, this.#inFlight - count)
    this.#goOn()
  }

  /** Sends, or queues: then a promise. Throws what is wrong with the message before anything has happened. */
  send(
    message: JsonLike,
    cores: readonly BufferCore[],
    signal: AbortSignal | undefined,
    fences: readonly OutgoingFence[] = noFences,
  ): Promise<void> | undefined {
    const unfixed = cores.length === 0 ? noCores : cores.filter(isPlaced)
    // Only a full peer can have a placed buffer, and until its hello nobody is one.
    if (unfixed.length > 0 && this.#full !== true) {
      const fix = () => Promise.all(unfixed.map((core) => core.fix()))
      return this.#sendLater(message, cores, signal, fences, this.#full === undefined ? undefined : fix)
    }
    for (const core of unfixed) settle(core)
    // Two for each buffer and, the first time, two for its exporter.
    const needed =
      this.#full === false || cores.length + fences.length === 0 ? 0 : this.#descriptorsFor(cores, fences)
    if (this.#stalled.length > 0 || (needed > 0 && this.#inFlight + needed > limits.maxDescriptorsInFlight)) {
      return this.#sendLater(message, cores, signal, fences)
    }
    if (needed > 0) for (const core of cores) this.#introduce(core)
    const descriptors: OutgoingDescriptors =
      cores.length + fences.length === 0 ? noDescriptors : { count: 0, owned: [] }
    try {
      const length = this.#write(message, cores, fences, descriptors)
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

  /** Resolves when nothing waits for credit any more. */
  async drained(): Promise<void> {
    while (this.#stalled.length > 0 && !this.#closed) {
      await new Promise<void>((resolve) => this.#stalled.push(resolve))
    }
  }

  /** What waits for credit fails. */
  close(): void {
    this.#closed = true
    this.#goOn()
    this.outgoing.close()
  }

  #sendLater(
    message: JsonLike,
    cores: readonly BufferCore[],
    signal: AbortSignal | undefined,
    fences: readonly OutgoingFence[],
    first?: () => Promise<unknown>,
  ): Promise<void> {
    if (this.#stalled.length >= limits.maxQueuedSends)
      throw problem('sendQueue', { count: this.#stalled.length })
    for (const core of cores) core.retain()
    return new Promise<void>((resolve, reject) => {
      let waits = first !== undefined
      let refused: { readonly error: unknown } | undefined
      first?.()
        .catch((error) => {
          refused = { error }
        })
        .then(() => {
          waits = false
          this.#goOn()
        })
      const stop = () => {
        const index = this.#stalled.indexOf(go)
        if (index < 0) return
        this.#stalled.splice(index, 1)
        for (const core of cores) core.release()
        reject(aborted(signal as AbortSignal, 'send'))
      }
      const go = () => {
        if (waits && !this.#closed) {
          // Whatever comes later waits behind it.
          this.#stalled.push(go)
          return
        }
        signal?.removeEventListener('abort', stop)
        try {
          if (refused !== undefined) throw refused.error
          if (this.#closed)
            throw problem('closedChannel', { reason: 'it was closed before the message left' })
          const sent = this.send(message, cores, signal, fences)
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

  #descriptorsFor(cores: readonly BufferCore[], fences: readonly OutgoingFence[]): number {
    let count = 2 * fences.length
    for (const core of cores) if (!this.outgoing.isKept(core)) count += 4
    return count
  }

  #introduce(core: BufferCore): void {
    if (this.outgoing.isKept(core)) return
    const introduction = this.outgoing.introduce(core)
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
      this.outgoing.unintroduced(core)
      throw sendError(result)
    }
  }

  #write(
    message: JsonLike,
    cores: readonly BufferCore[],
    fences: readonly OutgoingFence[],
    descriptors: OutgoingDescriptors,
  ): number {
    const { length, jsonBytes, parts, flags } = writeBody(message, cores.length, fences.length)
    const view = tx()
    for (let index = 0; index < cores.length; index++) {
      this.outgoing.write(view, HEADER_BYTES + index * HANDLE_BYTES, cores[index] as BufferCore, descriptors)
    }
    let at = HEADER_BYTES + cores.length * HANDLE_BYTES
    for (const fence of fences) {
      writeFence(view, at, fence, descriptors)
      at += FENCE_BYTES
    }
    writeHeader(view, {
      type: PacketType.message,
      flags,
      jsonBytes,
      handles: cores.length,
      parts,
      descriptors: descriptors.count,
      fences: fences.length,
    })
    return length
  }

  /** A packet that is only a header. */
  control(type: number, argument: number, withCredentials = false): void {
    if (this.#closed) return
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

  #goOn(): void {
    const stalled = this.#stalled
    this.#stalled = []
    for (const go of stalled) go()
  }
}

function closeAll(descriptors: number[]): void {
  if (descriptors.length === 0) return
  for (const fd of descriptors.splice(0)) addon().close(fd)
}

/** A holder forwards the present storage, if it can. */
function settle(core: BufferCore): void {
  try {
    heldBuffer(core)?.settle()
  } catch {
    // Without one, then: its exporter is gone.
  }
}
