import { wrap } from '../dmabuf/dmabuf.ts'
import type { MappedRange } from '../dmabuf/mapped-range.ts'
import type { GemBuffer } from './gem-buffer.ts'

/**
 * A dumb buffer in the memory of this process, as mmap of the DRM device gives it. It outlives handle, client and device;
 * closed by `close()`, `using`, or at last the garbage collector. When the buffer moves, the bytes stay where they are shown.
 */
export class MappedDumb implements Disposable {
  /** What `mmap` takes: the same for every mapping of this buffer. */
  readonly offset: number
  readonly byteLength: number
  readonly #range: MappedRange
  readonly #close: () => void

  /** @internal */
  constructor(object: GemBuffer, byteLength: number) {
    this.offset = object.mapOffset
    this.byteLength = byteLength
    const buffer = wrap(object.core)
    this.#close = () => buffer.close()
    try {
      this.#range = buffer.mmap({ length: byteLength })
    } catch (error) {
      buffer.close()
      throw error
    }
  }

  get closed(): boolean {
    return this.#range.closed
  }

  /** Live memory: the device, and whoever has the dma-buf, may change it at any moment. Of length 0 after close. */
  get bytes(): Uint8Array {
    return this.#range.bytes
  }

  /** Detaches the view. Idempotent. */
  close(): void {
    this.#range.close()
    this.#close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
