import type { Device } from '../dma/device.ts'
import type { PageSource } from '../dma/page-source.ts'
import { PhysicalMemory, systemMemory } from '../dma/physical-memory.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { heapPages } from '../exporters/heap-pages.ts'
import { addon } from '../native/load.ts'
import type { FramebufferState } from './framebuffer-state.ts'
import { GemBuffer, type GemMemory } from './gem-buffer.ts'
import { HandleTable } from './handle-table.ts'
import { VideoMemory } from './video-memory.ts'

/** Where mmap offsets begin: behind the 4 GiB of the old interface, DRM_FILE_PAGE_OFFSET_START (include/drm/drm_vma_manager.h). */
const FIRST_MAP_OFFSET = 2 ** 32

/** A client as its device knows it. */
export interface OpenFile {
  close(): void
}

/** What the clients of a device share (`struct drm_device`). */
export class DeviceState implements GemMemory {
  readonly name: string
  readonly device: Device
  readonly pitchAlignment: number
  readonly video: VideoMemory | undefined
  readonly system = heapPages(systemMemory(), 'scattered')
  readonly clients = new Set<OpenFile>()
  /** Everything that was allocated here and is not given back, wherever it is held. */
  readonly buffers = new Map<BufferCore, GemBuffer>()
  readonly framebuffers = new HandleTable<FramebufferState>()
  readonly #byMapOffset = new Map<number, GemBuffer>()
  #nextMapOffset = FIRST_MAP_OFFSET
  closed = false

  constructor(name: string, device: Device, memory: number | undefined, pitchAlignment: number) {
    this.name = name
    this.device = device
    this.pitchAlignment = pitchAlignment
    if (memory !== undefined) this.video = new VideoMemory(memory, videoPages(memory))
  }

  /** The caller has the one reference. */
  allocate(name: string, byteLength: number): GemBuffer {
    const buffer = new GemBuffer(this, name, byteLength, this.#nextMapOffset)
    // Never the same again: an offset that was kept too long finds nothing, and not another's memory.
    this.#nextMapOffset += byteLength
    this.buffers.set(buffer.core, buffer)
    this.#byMapOffset.set(buffer.mapOffset, buffer)
    return buffer
  }

  atMapOffset(offset: number): GemBuffer | undefined {
    return this.#byMapOffset.get(offset)
  }

  forget(buffer: GemBuffer): void {
    this.buffers.delete(buffer.core)
    this.#byMapOffset.delete(buffer.mapOffset)
  }
}

/** The page at address 0 is never given out, and all of this memory shall be usable. */
function videoPages(byteLength: number): PageSource {
  const memory = new PhysicalMemory({ byteLength: byteLength + addon().pageSize, contiguous: 0 })
  return heapPages(memory, 'scattered')
}
