import type { GemObject } from './gem-object.ts'
import type { HandleTable } from './handle-table.ts'

/** Where a plane of a framebuffer lies. */
export interface FramebufferPlaneState {
  readonly object: GemObject
  readonly offset: number
  readonly stride: number
}

export interface FramebufferShape {
  readonly width: number
  readonly height: number
  readonly fourcc: string
  readonly modifier: bigint
  readonly planes: readonly FramebufferPlaneState[]
}

/** The client whose framebuffer it is, and the device that numbers it. */
export interface FramebufferOwner {
  readonly framebuffers: Set<FramebufferState>
  readonly device: { readonly name: string; readonly framebuffers: HandleTable<FramebufferState> }
}

/** A framebuffer as its device keeps it (`struct drm_framebuffer`): it keeps the objects of its planes. */
export class FramebufferState {
  readonly id: number
  readonly client: FramebufferOwner
  readonly shape: FramebufferShape
  #removed = false

  constructor(client: FramebufferOwner, shape: FramebufferShape) {
    this.client = client
    this.shape = shape
    for (const { object } of shape.planes) object.retain()
    this.id = client.device.framebuffers.add(this)
    client.framebuffers.add(this)
  }

  get removed(): boolean {
    return this.#removed
  }

  remove(): void {
    if (this.#removed) return
    this.#removed = true
    this.client.device.framebuffers.remove(this.id)
    this.client.framebuffers.delete(this)
    for (const { object } of this.shape.planes) object.release()
  }
}
