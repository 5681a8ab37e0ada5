import { modifiers } from '../dma/fourcc.ts'
import { checkImageFor } from '../dma/image-rules.ts'
import { coreOf, type DmaBuf, wrap } from '../dmabuf/dmabuf.ts'
import {
  checkImageShape,
  devicePlanes,
  type ImageDescription,
  imageProblem,
  imageRefusal,
} from '../dmabuf/image.ts'
import { errno, problem } from '../internal/errors.ts'
import { integer, options, shown } from '../internal/validate.ts'
import type { ClientState } from './client-state.ts'
import { FramebufferState } from './framebuffer-state.ts'
import type { GemObject } from './gem-object.ts'

/** A plane by the handle of its GEM object, or by its dma-buf when that is imported into the client. */
export interface FramebufferPlane {
  readonly handle?: number
  readonly buffer?: DmaBuf
  /** First byte of the plane in the buffer; 0. */
  readonly offset?: number
  /** Bytes from one line to the next: the pitch of a dumb buffer. */
  readonly stride: number
}

export interface FramebufferRequest {
  /** In pixels. */
  readonly width: number
  readonly height: number
  /** Four characters, as in include/uapi/drm/drm_fourcc.h. */
  readonly fourcc: string
  /** Linear when left out. */
  readonly modifier?: bigint
  readonly planes: readonly FramebufferPlane[]
}

/** A client is open as long as somebody has one of its framebuffers. */
const keepers = new WeakMap<Framebuffer, object>()

/** Lets the display look behind a framebuffer. */
export let stateOf: (framebuffer: Framebuffer) => FramebufferState

/**
 * An image that a display can show (`struct drm_framebuffer`): GEM objects with a format, sizes, strides. It keeps the memory
 * of its planes, whatever becomes of their handles, until `remove()`, `using`, or the closing of its client.
 */
export class Framebuffer implements Disposable {
  /** Number of the framebuffer on its device. */
  readonly id: number
  readonly #state: FramebufferState

  static {
    stateOf = (framebuffer) => {
      if (typeof framebuffer === 'object' && framebuffer !== null && #state in framebuffer) {
        return framebuffer.#state
      }
      throw problem('receiver', { what: 'a Framebuffer' })
    }
  }

  /** @internal */
  constructor(state: FramebufferState, client: object) {
    this.id = state.id
    this.#state = state
    keepers.set(this, client)
  }

  get width(): number {
    return this.#state.shape.width
  }

  get height(): number {
    return this.#state.shape.height
  }

  get fourcc(): string {
    return this.#state.shape.fourcc
  }

  get modifier(): bigint {
    return this.#state.shape.modifier
  }

  /** It was removed, or its client closed. */
  get removed(): boolean {
    return this.#state.removed
  }

  /** Takes it away, as DRM_IOCTL_MODE_RMFB. Idempotent. */
  remove(): void {
    this.#state.remove()
  }

  [Symbol.dispose](): void {
    this.remove()
  }
}

/** The image behind a framebuffer, with wrappers of its own for the caller to close. `ENOENT` when it was removed. */
export function imageOf(framebuffer: Framebuffer): ImageDescription {
  const { removed, id, client, shape } = stateOf(framebuffer)
  if (removed) throw problem('noFramebuffer', { id, device: client.device.name })
  const planes = shape.planes.map(({ object, offset, stride }) => ({
    buffer: wrap(object.core),
    offset,
    stride,
  }))
  return { ...shape, planes }
}

const requestOptions = ['width', 'height', 'fourcc', 'modifier', 'planes'] as const
const planeOptions = ['handle', 'buffer', 'offset', 'stride'] as const

/**
 * Checks a framebuffer as `framebuffer_check()` and `drm_gem_fb_init_with_funcs()` do, against the objects and what the
 * device does with images, and makes it.
 */
export function addFramebuffer(client: ClientState, request: FramebufferRequest): FramebufferState {
  const opts = options('addFramebuffer', request, requestOptions)
  const shape = { ...opts, modifier: opts.modifier ?? modifiers.linear } as FramebufferRequest & {
    readonly modifier: bigint
  }
  const format = checkImageShape(shape, (plane, index) => {
    options(`plane ${index}`, plane, planeOptions)
    integer(`the offset of plane ${index}`, plane.offset ?? 0, 0, 2 ** 32 - 1)
    integer(`the stride of plane ${index}`, plane.stride, 0, 2 ** 32 - 1)
  })
  const planes = shape.planes.map((plane) => ({
    object: planeObject(client, plane),
    offset: plane.offset ?? 0,
    stride: plane.stride,
  }))
  const { width, height, fourcc, modifier } = shape
  const image = {
    ...{ width, height, fourcc, modifier },
    planes: planes.map(({ object, offset, stride }) => ({ buffer: object, offset, stride })),
  }
  const { device } = client.device
  const refusal = imageRefusal(image, { modifiers: [...device.image.modifiers, modifiers.invalid] })
  if (refusal !== undefined) throw imageProblem(image, refusal)
  const refused = checkImageFor(device, {
    ...image,
    // Nobody said: then it is linear, as for every driver that knows no others.
    modifier: modifier === modifiers.invalid ? modifiers.linear : modifier,
    planes: devicePlanes(image),
  })
  if (refused !== undefined) {
    const values = {
      device: device.name,
      what: `a ${fourcc} framebuffer of ${width} by ${height}`,
      ...refused,
    }
    throw problem('constraint', values, { result: -errno.EINVAL, refusal: refused })
  }
  return new FramebufferState(client, { width, height, fourcc: format.fourcc, modifier, planes })
}

function planeObject(client: ClientState, plane: FramebufferPlane): GemObject {
  if (plane.handle !== undefined && plane.buffer !== undefined) {
    const received = `handle ${shown(plane.handle)} and a buffer`
    throw problem('argument', { what: 'a plane', expected: 'a handle or a buffer', received })
  }
  if (plane.buffer === undefined) return client.lookup(integer('handle', plane.handle, 0, 2 ** 32 - 1))
  const core = coreOf(plane.buffer)
  const object = client.objectOf(core)
  if (object !== undefined) return object
  throw problem('notImported', { name: core.name, device: client.device.name })
}
