import type { Device } from '../dma/device.ts'
import { type Attachment, attachDevice } from '../dmabuf/attachment.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import type { GemObject } from './gem-object.ts'

/**
 * Another exporter's dma-buf as a GEM object: attached and mapped as long as it is one, as `drm_gem_prime_import_dev()` does
 * (drivers/gpu/drm/drm_prime.c). Each client that imports a buffer has its own.
 */
export class ImportedObject implements GemObject {
  readonly core: BufferCore
  readonly byteLength: number
  readonly #attachment: Attachment
  #references = 1

  private constructor(core: BufferCore, attachment: Attachment) {
    this.core = core
    this.byteLength = core.storage.byteLength
    this.#attachment = attachment
  }

  /** The caller has the one reference. What the exporter refuses is refused here. */
  static async attach(core: BufferCore, device: Device, signal: AbortSignal | undefined) {
    core.retain()
    let attachment: Attachment | undefined
    try {
      attachment = await attachDevice(core, device, undefined)
      // Memory that is read-only in this process is so for its devices.
      const direction = core.storage.writable ? 'bidirectional' : 'to-device'
      await attachment.map(direction, signal === undefined ? undefined : { signal })
      return new ImportedObject(core, attachment)
    } catch (error) {
      attachment?.detach()
      core.release()
      throw error
    }
  }

  retain(): void {
    this.#references++
  }

  release(): void {
    if (--this.#references > 0) return
    this.#attachment.detach()
    this.core.release()
  }
}
