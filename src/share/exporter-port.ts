import { randomFillSync } from 'node:crypto'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { limits } from '../internal/limits.ts'
import { identityKey } from '../memory/facts.ts'
import { addon } from '../native/load.ts'
import { Door } from './door.ts'
import { HolderConnection } from './holder-connection.ts'
import { Published } from './published.ts'
import { StateSegment } from './state-segment.ts'

/**
 * This environment as an exporter: its state segments, its door, its holders. Made when the first buffer leaves.
 */
class ExporterPort {
  readonly #uuid = randomFillSync(new Uint8Array(16))
  readonly #segments: StateSegment[] = []
  readonly #byIdentity = new Map<string, StateSegment>()
  readonly #published = new Map<BufferCore, Published>()
  readonly #holders = new Set<HolderConnection>()
  #door: Door | undefined
  #opened = false

  /** The door, or `undefined` where there is none and each receiver gets a connected pair. */
  get door(): Door | undefined {
    if (!this.#opened) {
      this.#opened = true
      this.#door = Door.open((fd) => this.#knocked(fd))
    }
    return this.#door
  }

  /** Gives a buffer a record and a leash, so that it can leave; at most once for each buffer. */
  publish(core: BufferCore): Published {
    const known = this.#published.get(core)
    if (known !== undefined) return known
    const published = new Published(core, this.#roomySegment())
    this.#published.set(core, published)
    core.shared = published
    const { onDestroy } = core
    core.onDestroy = () => {
      this.#published.delete(core)
      published.unpublish()
      onDestroy()
    }
    core.onUnused = () => this.#unused(published)
    return published
  }

  published(core: BufferCore): Published | undefined {
    return this.#published.get(core)
  }

  /** One of this exporter's own segments, recognised when a buffer comes back. */
  ownSegment(identity: string): StateSegment | undefined {
    return this.#byIdentity.get(identity)
  }

  /** Without a door: the end of a connected pair for a receiver. The caller closes it once it is sent. */
  connectedEnd(): number {
    const native = addon()
    const result = native.socketPair()
    if (result < 0) return result
    const [mine = -1, theirs = -1] = native.scratch.descriptors
    this.#knocked(mine)
    return theirs
  }

  #roomySegment(): StateSegment {
    const last = this.#segments.find((segment) => !segment.full)
    if (last !== undefined) return last
    const segment = new StateSegment(this.#segments.length, this.#uuid, this.door?.identity)
    this.#segments.push(segment)
    this.#byIdentity.set(identityKey(segment.identity), segment)
    return segment
  }

  #knocked(fd: number): void {
    if (this.#holders.size >= limits.maxHolders) {
      addon().close(fd)
      return
    }
    this.#holders.add(
      new HolderConnection(fd, {
        find: (segment, record, idLow, idHigh) => {
          const core = this.#segments[segment]?.find(record, idLow, idHigh)
          return core === undefined ? undefined : this.#published.get(core)
        },
        closed: (holder) => this.#holders.delete(holder),
      }),
    )
  }

  /** Nobody here needs the buffer; it is idle once nobody elsewhere has it either. */
  #unused(published: Published): void {
    const { core, leash } = published
    leash.whenHungUp(() => {
      // It may have come back, or have been sent anew, since the leash was watched.
      if (core.references > 0 || core.destroyed) return
      if (leash.hungUp) core.onIdle(core)
      else this.#unused(published)
    })
  }
}

let port: ExporterPort | undefined

export function exporterPort(): ExporterPort {
  port ??= new ExporterPort()
  return port
}
