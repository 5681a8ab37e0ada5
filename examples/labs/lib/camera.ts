import type { DmaBuf } from 'dmabuf'
import { type Attachment, Device, DmaEngine, type MapOptions, type SgTable } from 'dmabuf/dma'

/** A device without a view of the CPU's caches, attached to a buffer and mapped both ways. */
export class Camera implements Disposable {
  readonly #attachment: Attachment
  readonly #table: SgTable
  readonly #engine: DmaEngine

  private constructor(attachment: Attachment, table: SgTable) {
    this.#attachment = attachment
    this.#table = table
    this.#engine = new DmaEngine(attachment.device)
  }

  static async of(buffer: DmaBuf, mapOptions: MapOptions = {}): Promise<Camera> {
    const attachment = await buffer.attach(new Device('camera', { coherent: false }))
    return new Camera(attachment, await attachment.map('bidirectional', mapOptions))
  }

  /** DMA into the buffer. */
  async store(offset: number, length: number, value: number): Promise<void> {
    await this.#engine.fill(this.#table, offset, length, value)
  }

  /** DMA out of it: one byte. */
  async load(offset: number): Promise<number> {
    return (await this.#engine.read(this.#table, offset, 1))[0] ?? -1
  }

  [Symbol.dispose](): void {
    this.#attachment.detach()
  }
}
