import type { Access } from '../dmabuf/access.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { FENCES_FOR_READERS, FENCES_FOR_WRITERS, type FenceHost } from '../dmabuf/fence-host.ts'
import { StateRecord } from '../dmabuf/words.ts'
import { abortable } from '../internal/abort.ts'
import type { DmaBufError } from '../internal/errors.ts'
import type { Fence } from '../sync/fence.ts'
import { leavesOf, mergeFences } from '../sync/merge.ts'
import { accessNumber, fenceFreight } from './fence-message.ts'
import { type PrivateInit, PrivateType } from './private-message.ts'
import type { PrivateFreight } from './private-socket.ts'
import type { Request } from './remote-requests.ts'

/** The buffer of another exporter whose fences are meant. */
export interface FenceOwner {
  readonly core: BufferCore
  readonly words: Uint32Array
  readonly base: number
  readonly exporterAlive: boolean
  readonly cut: boolean
  /** Finds out whether an exporter that is cut is dead. */
  askAlive(): Promise<void>
  /** Why the exporter does nothing for this holder any more, if that is so. */
  readonly lost: DmaBufError | undefined
  /** Asks the exporter, after it was told that this environment has the buffer. */
  ask(message: PrivateInit, request: Request, freight?: PrivateFreight): number
}

/** The fences of a buffer of another environment, behind its door. */
export class RemoteFences implements FenceHost {
  readonly #owner: FenceOwner

  constructor(owner: FenceOwner) {
    this.#owner = owner
  }

  get cut(): boolean {
    return this.#owner.cut
  }

  askAlive(): Promise<void> {
    return this.#owner.askAlive()
  }

  /** The word in the record is only "look closer"; an exporter that is gone keeps no fences. */
  pending(access: Access): boolean {
    const { words, base } = this.#owner
    const mask = access === 'read' ? FENCES_FOR_READERS : FENCES_FOR_WRITERS
    return (Atomics.load(words, base + StateRecord.fences) & mask) !== 0 && this.#owner.exporterAlive
  }

  async exportFence(access: Access, signal: AbortSignal | undefined): Promise<Fence> {
    const { core } = this.#owner
    const fences: Fence[] = []
    await abortable<void>(signal, 'exportSyncFile', (resolve, reject) => {
      const request: Request = {
        name: core.name,
        answer: () => {
          resolve()
          return 'last'
        },
        fence: (fence) => fences.push(fence),
        fail: reject,
      }
      this.#ask({ type: PrivateType.exportFences, argument: accessNumber(access) }, request)
      return () => {}
    })
    return mergeFences(...fences)
  }

  async importFence(fence: Fence, access: Access): Promise<void> {
    const { core } = this.#owner
    const message = { type: PrivateType.importFence, argument: accessNumber(access) }
    const pending = [...leavesOf(fence)].filter((leaf) => !leaf.isSignalled)
    const imported = pending.map(
      (leaf) =>
        new Promise<void>((resolve, reject) => {
          const request: Request = {
            name: core.name,
            answer: () => {
              resolve()
              return 'last'
            },
            fail: reject,
          }
          this.#ask(message, request, fenceFreight(leaf))
        }),
    )
    await Promise.all(imported)
  }

  #ask(message: PrivateInit, request: Request, freight: PrivateFreight = {}): void {
    try {
      if (this.#owner.lost !== undefined) throw this.#owner.lost
      this.#owner.ask(message, request, freight)
    } catch (error) {
      freight.sent?.()
      throw error
    }
  }
}
