import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { coreOf, DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import { errno, problem } from '../internal/errors.ts'
import { Turn } from '../internal/turn.ts'
import { integer } from '../internal/validate.ts'
import { identityOf, isFile } from './descriptor-identity.ts'
import type { DeviceState } from './device-state.ts'
import type { FramebufferState } from './framebuffer-state.ts'
import { GemBuffer } from './gem-buffer.ts'
import type { GemObject } from './gem-object.ts'
import type { ExportAccess } from './gem-storage.ts'
import { HandleTable } from './handle-table.ts'
import { ImportedObject } from './imported-object.ts'

/** Which node of the device a client has opened. */
export type DrmNode = 'primary' | 'render'

/**
 * An open file of a DRM device (`struct drm_file`): its handles, and which dma-buf has which of them. Apart from the
 * `DrmClient` that its user has, so that a forgotten one is collected.
 */
export class ClientState {
  readonly device: DeviceState
  readonly node: DrmNode
  readonly framebuffers = new Set<FramebufferState>()
  readonly #handles = new HandleTable<GemObject>()
  /** Every object has one handle here: what an import finds is found by this, whoever allocated it. */
  readonly #byCore = new Map<BufferCore, number>()
  readonly #importing = new Turn()
  #closed = false

  constructor(device: DeviceState, node: DrmNode) {
    this.device = device
    this.node = node
  }

  get closed(): boolean {
    return this.#closed
  }

  get handles(): number {
    return this.#handles.size
  }

  check(): void {
    if (this.#closed) throw problem('closedDrm', { what: 'client', device: this.device.name })
  }

  /** What a render node refuses (`drm_ioctl_permit()`, drivers/gpu/drm/drm_ioctl.c). */
  checkPrimary(what: string): void {
    this.check()
    if (this.node === 'render') throw problem('renderNode', { what, device: this.device.name })
  }

  /** Takes over the caller's reference. */
  add(object: GemObject): number {
    const handle = this.#handles.add(object)
    this.#byCore.set(object.core, handle)
    return handle
  }

  /** The object of a handle. The kernel says `ENOENT` where it looks one up, and `EINVAL` where it takes one away. */
  lookup(handle: number): GemObject {
    const object = this.#handles.get(handle)
    if (object === undefined) throw this.#noHandle(handle, -errno.ENOENT)
    return object
  }

  has(object: GemObject): boolean {
    return this.#byCore.has(object.core)
  }

  /** The object of a buffer that this client has a handle for. */
  objectOf(core: BufferCore): GemObject | undefined {
    const handle = this.#byCore.get(core)
    return handle === undefined ? undefined : this.#handles.get(handle)
  }

  remove(handle: number): void {
    const object = this.#handles.remove(handle)
    if (object === undefined) throw this.#noHandle(handle, -errno.EINVAL)
    this.#byCore.delete(object.core)
    object.release()
  }

  export(handle: number, access: ExportAccess): DmaBuf {
    const object = this.lookup(handle)
    return object instanceof GemBuffer ? object.export(access) : wrap(object.core)
  }

  /** A handle at once for what this client or device knows, else when the buffer is attached. */
  import(source: DmaBuf | number, signal: AbortSignal | undefined): number | Promise<number> {
    if (typeof source !== 'number') return this.#import(coreOf(source), signal)
    const identity = identityOf(integer('fd', source, -(2 ** 31), 2 ** 31 - 1))
    const known = this.#find(identity)
    if (known !== undefined) return this.#import(known, signal)
    const buffer = DmaBuf.fromFd(source)
    // The object keeps what is behind it.
    return Promise.resolve(this.#import(coreOf(buffer), signal)).finally(() => buffer.close())
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.device.clients.delete(this)
    for (const framebuffer of [...this.framebuffers]) framebuffer.remove()
    this.#byCore.clear()
    for (const object of this.#handles.clear()) object.release()
  }

  #import(core: BufferCore, signal: AbortSignal | undefined): number | Promise<number> {
    return this.#known(core) ?? this.#attach(core, signal)
  }

  /** The handle of a buffer that needs no attaching. */
  #known(core: BufferCore): number | undefined {
    const handle = this.#byCore.get(core)
    if (handle !== undefined) return handle
    const own = this.device.buffers.get(core)
    if (own === undefined) return undefined
    own.retain()
    return this.add(own)
  }

  async #attach(core: BufferCore, signal: AbortSignal | undefined): Promise<number> {
    core.retain()
    try {
      // One at a time, as under prime.lock: two imports of one buffer make one object.
      return await this.#importing.take(signal, 'fdToHandle', async () => {
        this.check()
        const known = this.#known(core)
        if (known !== undefined) return known
        const object = await ImportedObject.attach(core, this.device.device, signal)
        if (!this.#closed) return this.add(object)
        object.release()
        throw problem('closedDrm', { what: 'client', device: this.device.name })
      })
    } finally {
      core.release()
    }
  }

  #find(identity: string): BufferCore | undefined {
    for (const cores of [this.#byCore.keys(), this.device.buffers.keys()]) {
      for (const core of cores) if (isFile(core, identity)) return core
    }
    return undefined
  }

  #noHandle(handle: number, result: number) {
    return problem('noHandle', { handle, device: this.device.name }, { result })
  }
}
