import type { DmaBuf } from '../dmabuf/dmabuf.ts'
import { errno, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { abortSignal, integer, oneOf, options, text } from '../internal/validate.ts'
import { addon } from '../native/load.ts'
import type { ClientState, DrmNode } from './client-state.ts'
import { type DumbLayout, type DumbRequest, dumbLayout } from './dumb-layout.ts'
import { addFramebuffer, Framebuffer, type FramebufferRequest } from './framebuffer.ts'
import { GemBuffer } from './gem-buffer.ts'
import type { ExportAccess } from './gem-storage.ts'
import { MappedDumb } from './mapped-dumb.ts'

export interface CreateDumbRequest extends DumbRequest {
  /** Not used by the kernel either; 0. */
  readonly flags?: number
  /** Shown in `bufinfo` and to every holder, at most 31 bytes; made of the device's name and the sizes. */
  readonly name?: string
}

export interface DumbBuffer extends DumbLayout {
  readonly handle: number
}

export interface HandleToFdOptions {
  /**
   * What the dma-buf may be opened for. `'read'` (default) is DRM without DRM_RDWR: whoever gets it cannot write. The first
   * export of a buffer decides for all later ones, those of other clients included.
   */
  readonly access?: ExportAccess
}

export interface FdToHandleOptions {
  readonly signal?: AbortSignal
}

export interface MapDumbOptions {
  /** Bytes; the whole buffer. */
  readonly length?: number
}

/** Closes what was forgotten. */
const registry = new FinalizationRegistry<ClientState>((state) => state.close())

const createOptions = ['width', 'height', 'bpp', 'flags', 'name'] as const
const MOST_HANDLE = 2 ** 32 - 1

/**
 * An open file of a DRM device, with GEM handles of its own: what `open("/dev/dri/card0")` gives a process. Made by
 * `DrmDevice.open`, closed by `close()`, `using`, with its device, or at last by the garbage collector. Errors are the
 * kernel's: `EBADF` after close, `ENOENT` or `EINVAL` for a handle that is not there.
 */
export class DrmClient implements Disposable {
  readonly #state: ClientState

  /** @internal */
  constructor(state: ClientState) {
    this.#state = state
    registry.register(this, state, state)
  }

  /** `'render'` for a client without rights to the display. */
  get node(): DrmNode {
    return this.#state.node
  }

  get closed(): boolean {
    return this.#state.closed
  }

  /** How many handles there are. */
  get handles(): number {
    return this.#state.handles
  }

  /**
   * Allocates a buffer of zeroed memory that the CPU draws into (DRM_IOCTL_MODE_CREATE_DUMB). It has the lowest free handle,
   * and stays until that is taken away and nobody maps, shows or shares it any more. On a device with memory of its own it
   * begins there when there is room, else in system memory until the device uses it. Errors: `EINVAL` for zeros and for
   * sizes beyond 32 bits, `EACCES` on a render node, `EDQUOT`, `ENOSPC`, `ENOMEM`.
   */
  createDumb(request: CreateDumbRequest): DumbBuffer {
    const state = this.#state
    state.checkPrimary('createDumb')
    const opts = options('createDumb', request, createOptions) as CreateDumbRequest
    integer('flags', opts.flags ?? 0, 0, 0)
    const { device } = state
    const layout = dumbLayout(opts, device.pitchAlignment, addon().pageSize)
    const name = text('name', opts.name ?? nameOf(device.name, opts), limits.maxNameBytes)
    const buffer = device.allocate(name, layout.size)
    return { handle: state.add(buffer), ...layout }
  }

  /**
   * Maps a dumb buffer (DRM_IOCTL_MODE_MAP_DUMB, and mmap at the offset that it tells). The caller closes the mapping. Errors:
   * `ENOENT` for an unknown handle, `EINVAL` for an imported buffer, `EFBIG` for more than one ArrayBuffer can show.
   */
  mapDumb(handle: number, mapOptions?: MapDumbOptions): MappedDumb {
    const state = this.#state
    state.checkPrimary('mapDumb')
    const object = state.lookup(handleArgument(handle))
    if (!(object instanceof GemBuffer)) throw problem('mapImported', { handle, device: state.device.name })
    return this.mmap(object.mapOffset, mapOptions)
  }

  /**
   * Maps what lies at an offset that `MappedDumb.offset` told, as mmap(2) of the DRM device. Errors: `EINVAL` where nothing
   * begins, or for more than the buffer has; `EACCES` where this client has no handle for what is there.
   */
  mmap(offset: number, mapOptions?: MapDumbOptions): MappedDumb {
    const state = this.#state
    state.check()
    const at = integer('offset', offset, 0)
    const { length } = options('mmap', mapOptions, ['length'])
    const object = state.device.atMapOffset(at)
    const refuse = (why: string, result: number) =>
      problem('mapOffset', { device: state.device.name, offset: at, why }, { result })
    if (object === undefined) throw refuse('no buffer begins there', -errno.EINVAL)
    if (!state.has(object)) throw refuse('this client has no handle for it', -errno.EACCES)
    // A mapping would be private: nobody would see what is drawn.
    if (!object.core.storage.writable) throw refuse('the buffer is frozen', -errno.EACCES)
    const bytes = integer('length', length ?? object.byteLength, 1)
    if (bytes > object.byteLength)
      throw refuse(`${bytes} bytes are more than its ${object.byteLength}`, -errno.EINVAL)
    return new MappedDumb(object, bytes)
  }

  /** Takes a handle away, as DRM_IOCTL_MODE_DESTROY_DUMB. Mappings, exports and framebuffers go on. `EINVAL` when unknown. */
  destroyDumb(handle: number): void {
    this.#state.checkPrimary('destroyDumb')
    this.#state.remove(handleArgument(handle))
  }

  /** Takes a handle away, as DRM_IOCTL_GEM_CLOSE, however often the buffer was imported. `EINVAL` when unknown. */
  closeHandle(handle: number): void {
    this.#state.check()
    this.#state.remove(handleArgument(handle))
  }

  /**
   * The dma-buf of a handle (DRM_IOCTL_PRIME_HANDLE_TO_FD), always the same one; of an imported buffer the one that was
   * imported. The caller closes it. `ENOENT` for an unknown handle.
   */
  handleToFd(handle: number, exportOptions?: HandleToFdOptions): DmaBuf {
    this.#state.check()
    const opts = options('handleToFd', exportOptions, ['access'])
    const access = oneOf('access', opts.access ?? 'read', ['read', 'read-write'])
    return this.#state.export(handleArgument(handle), access)
  }

  /**
   * The handle of a dma-buf, or of a descriptor of one (DRM_IOCTL_PRIME_FD_TO_HANDLE); always the same one in this client, and
   * not counted: one `closeHandle` takes it away. For a buffer of this device, or one that is imported already, the handle is
   * returned at once; any other is attached and mapped first, which its exporter may have to do in another process, and a
   * promise is returned. `await` serves for both. The buffer stays the caller's, who may close it. Errors: `EBADF` not open,
   * `EINVAL` no memory, or memory that does not suit this device (`error.rule`), `EBUSY`; what the exporter says.
   */
  fdToHandle(source: DmaBuf | number, importOptions?: FdToHandleOptions): number | Promise<number> {
    this.#state.check()
    const { signal } = options('fdToHandle', importOptions, ['signal'])
    return this.#state.import(source, abortSignal('signal', signal))
  }

  /**
   * Makes a framebuffer of buffers that this client has handles for (DRM_IOCTL_MODE_ADDFB2). Errors: `EINVAL` for what does not
   * fit into the buffers, or what the display cannot show, with `rule`, `needed` and `got`; `ENOENT` for unknown handles.
   */
  addFramebuffer(request: FramebufferRequest): Framebuffer {
    this.#state.checkPrimary('addFramebuffer')
    return new Framebuffer(addFramebuffer(this.#state, request), this)
  }

  /** Takes a framebuffer away by its number, as DRM_IOCTL_MODE_RMFB. `ENOENT` when it is none of this client. */
  removeFramebuffer(id: number): void {
    const state = this.#state
    state.checkPrimary('removeFramebuffer')
    const framebuffer = state.device.framebuffers.get(integer('id', id, 0, MOST_HANDLE))
    if (framebuffer?.client !== state) throw problem('noFramebuffer', { id, device: state.device.name })
    framebuffer.remove()
  }

  /** Takes every handle and framebuffer of this client away. What is shared, mapped or shown elsewhere stays. Idempotent. */
  close(): void {
    registry.unregister(this.#state)
    this.#state.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** `card0 640x480x32`, or without a device whose name is too long for that. */
function nameOf(device: string, { width, height, bpp }: DumbRequest): string {
  const sizes = `${width}x${height}x${bpp}`
  const full = `${device} ${sizes}`
  return Buffer.byteLength(full) <= limits.maxNameBytes ? full : sizes
}

function handleArgument(handle: number): number {
  return integer('handle', handle, 0, MOST_HANDLE)
}
