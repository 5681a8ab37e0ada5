import type { Device } from '../dma/device.ts'
import type { PageSource, Pages } from '../dma/page-source.ts'
import type { Access } from '../dmabuf/access.ts'
import type { DeviceDescription } from '../dmabuf/attachment-host.ts'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { exporterCore } from '../dmabuf/export.ts'
import { FIXED_POLICY, Placement, type PlacementPolicy } from '../dmabuf/placement.ts'
import { problem } from '../internal/errors.ts'
import type { GemObject } from './gem-object.ts'
import { allocateGemStorage, type ExportAccess, sealGemStorage } from './gem-storage.ts'
import type { Tenant, VideoMemory } from './video-memory.ts'

/** What a device gives its buffers. */
export interface GemMemory {
  readonly device: Device
  /** Without it buffers lie in system memory, where they stay. */
  readonly video: VideoMemory | undefined
  readonly system: PageSource
  /** The buffer is given back: nobody anywhere has it. */
  forget(buffer: GemBuffer): void
}

const MOVABLE_POLICY: PlacementPolicy = { ...FIXED_POLICY, movable: true }

/**
 * A GEM object that the device allocated itself, as `drm_gem_shmem_object`; with video memory one that TTM moves about. Its
 * dma-buf is there from the beginning, and shown to others by the first export.
 */
export class GemBuffer implements GemObject, Tenant {
  readonly core: BufferCore
  readonly byteLength: number
  /** Where mmap of the device finds it. */
  readonly mapOffset: number
  readonly #memory: GemMemory
  readonly #placement: Placement
  /** In video memory. */
  readonly #seat: PageSource | undefined
  /** Where its contents were when that was last looked at. */
  #inVideo: boolean
  #access: ExportAccess | undefined

  /** Nothing is left when it fails. The caller has the one reference. */
  constructor(memory: GemMemory, name: string, byteLength: number, mapOffset: number) {
    this.byteLength = byteLength
    this.mapOffset = mapOffset
    this.#memory = memory
    const { device, video, system } = memory
    const { memoryConstraints: constraints } = device
    this.#seat = video?.seat(this)
    let pages = video?.allocateNow(this, byteLength, constraints)
    this.#inVideo = pages !== undefined
    pages ??= now(system.allocate(byteLength, constraints))
    try {
      this.core = exporterCore({
        ...allocateGemStorage(byteLength, name),
        name,
        exporterName: 'drm',
        ops: {
          beginCpuAccess: (access) => this.#checkAccess(access),
          map: () => this.#settle(),
          pin: () => this.#settle(),
          unpin: () => {},
          release: () => memory.forget(this),
        },
      })
    } catch (error) {
      pages.free()
      throw error
    }
    this.#placement = new Placement(this.core, {
      source: this.#inVideo ? this.#seat! : system,
      policy: video === undefined ? FIXED_POLICY : MOVABLE_POLICY,
      pages,
      constraints,
      sourceFor: (mapper) => this.#sourceFor(mapper),
    })
    this.retain()
  }

  retain(): void {
    this.core.retain()
  }

  release(): void {
    this.core.release()
  }

  /** Its dma-buf. The first export decides for all what it may be opened for. */
  export(access: ExportAccess): DmaBuf {
    this.#access ??= access
    sealGemStorage(this.core, this.#access)
    return wrap(this.core)
  }

  // ---- video memory ---------------------------------------------------------------------------------------

  get idle(): boolean {
    const { core } = this
    const placement = this.#placement
    if (this.#stays || placement.busy || placement.holding.length > 0 || core.openBrackets > 0) return false
    return core.shared?.holders().every(({ openBrackets }) => openBrackets === 0) ?? true
  }

  async leave(): Promise<void> {
    this.retain()
    try {
      await this.#placement.moveTo(this.#memory.system)
      this.#settle()
    } finally {
      this.release()
    }
  }

  /** This device works in its own memory; another one can only reach that of the system. */
  #sourceFor(mapper: DeviceDescription | undefined): PageSource | undefined {
    if (this.#seat === undefined || mapper === undefined || this.#stays) return undefined
    const { name } = this.#memory.device
    const { deviceName, pid } = mapper
    const own = pid === process.pid && (deviceName === name || deviceName.startsWith(`${name}.`))
    return own ? this.#seat : this.#memory.system
  }

  /** Somebody has its descriptor; or it is frozen, which other storage would not be. */
  get #stays(): boolean {
    return this.#placement.fixed || !this.core.storage.writable
  }

  /** It was used, and may have been moved for that. */
  #settle(): void {
    const { video } = this.#memory
    if (video === undefined) return
    const inVideo = this.#placement.source === this.#seat
    if (inVideo && !this.#inVideo) video.movedIn(this.byteLength)
    if (!inVideo && this.#inVideo) video.movedOut(this.byteLength)
    this.#inVideo = inVideo
    video.touch(this)
    // An export in the middle of the move sealed what the buffer left behind.
    if (this.#access !== undefined) sealGemStorage(this.core, this.#access)
  }

  #checkAccess(access: Access): void {
    if (access !== 'read' && this.#access === 'read') {
      throw problem('exportedReadOnly', { name: this.core.name, access })
    }
    this.#memory.video?.touch(this)
  }
}

function now(pages: Pages | Promise<Pages>): Pages {
  if (pages instanceof Promise) throw new Error('system memory answers at once')
  return pages
}
