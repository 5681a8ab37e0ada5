import { Device } from '../dma/device.ts'
import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { instance, integer, oneOf, options, text } from '../internal/validate.ts'
import { addon } from '../native/load.ts'
import { ClientState, type DrmNode } from './client-state.ts'
import { DeviceState } from './device-state.ts'
import { DrmClient } from './drm-client.ts'
import type { VideoMemoryStats } from './video-memory.ts'

export interface DrmDeviceOptions {
  /**
   * Bytes of memory of its own, whole pages. Its buffers lie there while the device uses them; the least recently used ones
   * leave for system memory when others need the room, and come back at their next use. Without it all of them lie in system
   * memory and never move.
   */
  readonly memory?: number
  /** What does the DMA; a device of the same name that any memory suits. */
  readonly device?: Device
  /** Bytes of which pitches of dumb buffers are multiples; the `strideAlignment` of `device`. */
  readonly pitchAlignment?: number
}

export interface DrmDeviceStats {
  /** Buffers allocated here that are not given back yet, wherever they are held. */
  readonly buffers: number
  readonly clients: number
  readonly framebuffers: number
  /** Of a device with memory of its own. */
  readonly memory: VideoMemoryStats | undefined
}

const deviceOptions = ['memory', 'device', 'pitchAlignment'] as const

/**
 * A graphics device as userspace sees it: dumb buffers, GEM handles, PRIME, framebuffers. An exporter and an importer
 * of dma-bufs. Follows drivers/gpu/drm (drm_gem.c, drm_prime.c, drm_dumb_buffers.c, drm_framebuffer.c), with the system memory
 * of drm_gem_shmem_helper.c or the limited memory of TTM. `close()` it, or let it go: it holds nothing but its buffers.
 */
export class DrmDevice implements Disposable {
  readonly name: string
  /** What attaches to the buffers of others, and to its own. */
  readonly device: Device
  readonly #state: DeviceState

  /** Errors: `EINVAL`. */
  constructor(name: string, drmOptions?: DrmDeviceOptions) {
    const opts = options('DrmDevice', drmOptions, deviceOptions)
    this.device = opts.device === undefined ? new Device(name) : instance('device', opts.device, Device)
    this.name = text('name', name, limits.maxDeviceNameBytes)
    if (name === '') throw problem('argument', { what: 'name', expected: 'a device name', received: '""' })
    const { memory } = opts
    if (memory !== undefined) checkMemory(memory)
    const pitch = opts.pitchAlignment ?? this.device.image.strideAlignment
    const pitchAlignment = integer('pitchAlignment', pitch, 1, 2 ** 30)
    this.#state = new DeviceState(name, this.device, memory, pitchAlignment)
  }

  get closed(): boolean {
    return this.#state.closed
  }

  /** Opens the device. The caller closes the client. `ENODEV` when the device is closed. */
  open(openOptions?: { readonly node?: DrmNode }): DrmClient {
    const opts = options('open', openOptions, ['node'])
    const node = oneOf('node', opts.node ?? 'primary', ['primary', 'render'])
    if (this.#state.closed) throw problem('closedDrmDevice', { device: this.name })
    const client = new ClientState(this.#state, node)
    this.#state.clients.add(client)
    return new DrmClient(client)
  }

  stats(): DrmDeviceStats {
    const { buffers, clients, framebuffers, video } = this.#state
    return {
      buffers: buffers.size,
      clients: clients.size,
      framebuffers: framebuffers.size,
      memory: video?.stats,
    }
  }

  /** Closes every client. Buffers that are shared or mapped stay with those who have them. Idempotent. */
  close(): void {
    this.#state.closed = true
    for (const client of [...this.#state.clients]) client.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function checkMemory(memory: unknown): void {
  const bytes = integer('memory', memory, addon().pageSize, 2 ** 48)
  if (bytes % addon().pageSize === 0) return
  const expected = `a multiple of ${addon().pageSize}`
  throw problem('argument', { what: 'memory', expected, received: String(bytes) })
}
