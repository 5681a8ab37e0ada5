import type { DmaBufError } from '../internal/errors.ts'
import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import type { Fence } from '../sync/fence.ts'
import type { PrivateMessage } from './private-message.ts'

/** One request that the exporter has not answered. */
export interface Request {
  /** Name of the buffer, for errors. */
  readonly name: string
  /** An answer, other than an error, that may be one part of several: whether it was the last, or what is wrong with it. */
  answer(message: PrivateMessage): 'more' | 'last' | { readonly wrong: string }
  /** One of the fences that were asked for. */
  fence?(fence: Fence): void
  /** The exporter refuses, or is gone. */
  fail(error: DmaBufError): void
}

/** What this environment waits for from one exporter, by serial. Each request gets exactly one answer, or the end. */
export class RemoteRequests {
  readonly #pending = new Map<number, Request>()
  readonly #changed: (waiting: boolean) => void
  #lastSerial = 0

  /** `changed` is told when there begins and ends to be something to wait for. */
  constructor(changed: (waiting: boolean) => void) {
    this.#changed = changed
  }

  /** A number for a registration or a request; never 0. */
  nextSerial(): number {
    do this.#lastSerial = (this.#lastSerial + 1) >>> 0
    while (this.#lastSerial === 0 || this.#pending.has(this.#lastSerial))
    return this.#lastSerial
  }

  add(request: Request): number {
    if (this.#pending.size >= limits.maxRequestsPerHolder) {
      throw problem('requests', { count: this.#pending.size, what: 'requests', name: request.name })
    }
    const serial = this.nextSerial()
    this.#pending.set(serial, request)
    if (this.#pending.size === 1) this.#changed(true)
    return serial
  }

  /** Returns what is wrong with an answer. */
  answered(message: PrivateMessage): string | undefined {
    const request = this.#pending.get(message.serial)
    if (request === undefined) return 'an answer to what was not asked'
    const result = request.answer(message)
    if (result === 'last') this.#remove(message.serial)
    // With what is wrong the connection ends, and the request with it.
    return typeof result === 'string' ? undefined : result.wrong
  }

  /** A fence for a request. Returns what is wrong. */
  fence(serial: number, fence: Fence): string | undefined {
    const request = this.#pending.get(serial)
    if (request?.fence === undefined) return 'a fence that was not asked for'
    request.fence(fence)
    return undefined
  }

  /** An error for a request; `undefined`: its text is none. Returns what is wrong with it. */
  refused(serial: number, error: DmaBufError | undefined): string | undefined {
    const request = this.#pending.get(serial)
    if (request === undefined) return 'an error for what was not asked'
    if (error === undefined) return 'an error without its text'
    this.#remove(serial)
    request.fail(error)
    return undefined
  }

  /** The exporter is gone. */
  end(): void {
    const all = [...this.#pending.values()]
    if (all.length === 0) return
    this.#pending.clear()
    this.#changed(false)
    for (const request of all) request.fail(problem('exporterGone', { name: request.name }))
  }

  #remove(serial: number): void {
    this.#pending.delete(serial)
    if (this.#pending.size === 0) this.#changed(false)
  }
}
