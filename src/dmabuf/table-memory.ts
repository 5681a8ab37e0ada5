import type { Device } from '../dma/device.ts'
import type { TableMemory as DeviceMemory } from '../dma/sg-table.ts'
import { diagnostics } from '../internal/diagnostics.ts'
import { problem } from '../internal/errors.ts'
import type { BufferCore } from './buffer-core.ts'
import { fitsView, mapStorage } from './map-storage.ts'
import { pagesOf } from './views.ts'

/** The bytes of a buffer as a device reaches them through one of its tables. */
export class TableMemory implements DeviceMemory {
  readonly #core: BufferCore
  /** Of a dynamic importer's table: the storage that it was made for, and the only one it may touch. */
  readonly #generation: number | undefined

  readonly #device: Device

  constructor(core: BufferCore, device: Device, generation: number | undefined) {
    this.#core = core
    this.#device = device
    this.#generation = generation
  }

  access(kind: 'read' | 'write', offset: number, length: number, use: (bytes: Uint8Array) => void): void {
    const core = this.#core
    if (core.isRevoked) throw problem('revoked', { name: core.name })
    // The map holds the buffer in its place.
    if (this.#generation === undefined) return this.#use(kind, offset, length, use)
    // Nothing does: for a moment the device counts as a CPU access, which every move waits for.
    const writes = kind === 'write'
    if (!core.enter(writes)) throw problem('stale', { name: core.name })
    try {
      if (core.generation !== this.#generation) throw problem('stale', { name: core.name })
      this.#use(kind, offset, length, use)
    } finally {
      core.lower(writes)
    }
  }

  /** Told of after it was done: what the caches did before comes before. */
  #use(kind: 'read' | 'write', offset: number, length: number, use: (bytes: Uint8Array) => void): void {
    this.#move(kind, offset, length, use)
    if (!diagnostics.dma.hasSubscribers) return
    const { id, name } = this.#core
    diagnostics.dma.publish({ id, name, device: this.#device.name, kind, offset, length })
  }

  #move(kind: 'read' | 'write', offset: number, length: number, use: (bytes: Uint8Array) => void): void {
    const core = this.#core
    const { coherent } = this.#device
    if (core.coherence !== undefined) {
      core.coherence.device(kind, coherent, offset, length, use)
      return
    }
    if (fitsView(core.storage.byteLength)) {
      use(pagesOf(core.mappings.pastGuard, core.name).subarray(offset, offset + length))
      return
    }
    const mapping = mapStorage(core.storage, offset, length, core.name)
    try {
      use(pagesOf(mapping, core.name))
    } finally {
      mapping.close()
    }
  }
}
