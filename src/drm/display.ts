import { Device } from '../dma/device.ts'
import { DmaEngine } from '../dma/engine.ts'
import { leastStride, modifiers, planeHeight } from '../dma/fourcc.ts'
import { checkImageFor } from '../dma/image-rules.ts'
import type { PixelFormat } from '../dma/pixel-formats.ts'
import type { SgTable } from '../dma/sg-table.ts'
import { type Attachment, attachDevice } from '../dmabuf/attachment.ts'
import { coreOf, type DmaBuf } from '../dmabuf/dmabuf.ts'
import { checkImage, devicePlanes, type ImageDescription } from '../dmabuf/image.ts'
import { errno, problem } from '../internal/errors.ts'
import { Turn } from '../internal/turn.ts'
import { abortSignal, instance, options } from '../internal/validate.ts'
import { Framebuffer, imageOf } from './framebuffer.ts'

/** What is on a screen, in private memory. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly format: PixelFormat
  /** The lines of each plane one behind the other, without what lies between them in the buffer. */
  readonly planes: readonly Uint8Array[]
}

export interface ShowOptions {
  readonly signal?: AbortSignal
}

/** An image while it is on the screen: attached and mapped. */
interface Scanout {
  readonly image: ImageDescription
  readonly format: PixelFormat
  readonly attachments: readonly Attachment[]
  /** One for each plane; planes in one buffer share theirs. */
  readonly tables: readonly SgTable[]
}

/**
 * An emulated screen: an importer that reads its picture by the DMA of its device, through sg tables, as a CRTC does. What is
 * shown stays attached and mapped until something else is, so that it cannot be moved away under the screen. No page flips and
 * no timing: `show` takes effect at once. Closed by `close()` or `using`.
 */
export class Display implements Disposable {
  readonly device: Device
  readonly #engine: DmaEngine
  readonly #turn = new Turn()
  #scanout: Scanout | undefined
  #closed = false

  /** `device` says what memory and images the screen can show: contiguous or not, strides, modifiers. */
  constructor(device: Device) {
    this.device = instance('device', device, Device)
    this.#engine = new DmaEngine(device)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Bytes that were read to show pictures. */
  get transferred(): number {
    return this.#engine.transferred
  }

  /**
   * Shows an image, or a framebuffer of any DRM device, in place of what was shown, and tells what is to be seen. The buffers
   * stay the caller's, who may close them. Errors: `EINVAL` with `rule`, `needed` and `got` when image or memory do not suit the
   * device; what attaching and mapping say (the screen then goes on showing what it did); `ENOENT` for a framebuffer that was
   * removed; `EBADF` closed.
   */
  async show(shown: ImageDescription | Framebuffer, showOptions?: ShowOptions): Promise<Picture> {
    const { signal } = options('show', showOptions, ['signal'])
    abortSignal('signal', signal)
    this.#check()
    const image = shown instanceof Framebuffer ? imageOf(shown) : shown
    try {
      return await this.#turn.take(signal, 'show', async () => {
        this.#check()
        const next = await this.#prepare(image, signal)
        if (this.#closed) {
          release(next)
          this.#check()
        }
        const before = this.#scanout
        this.#scanout = next
        if (before !== undefined) release(before)
        return this.#read(next)
      })
    } finally {
      if (image !== shown) for (const { buffer } of image.planes) buffer.close()
    }
  }

  /** What is to be seen now: the picture as it is in memory at this moment. Nothing before the first `show`, or when blank. */
  async scan(): Promise<Picture | undefined> {
    this.#check()
    return this.#turn.take(undefined, 'scan', async () => {
      this.#check()
      return this.#scanout === undefined ? undefined : this.#read(this.#scanout)
    })
  }

  /** Shows nothing any more; lets go of the buffers. */
  blank(): void {
    const scanout = this.#scanout
    this.#scanout = undefined
    if (scanout !== undefined) release(scanout)
  }

  /** Lets go of the buffers. Idempotent. */
  close(): void {
    this.#closed = true
    this.blank()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #prepare(image: ImageDescription, signal: AbortSignal | undefined): Promise<Scanout> {
    const { device } = this
    const format = checkImage(image, { modifiers: [...device.image.modifiers, modifiers.invalid] })
    const modifier = image.modifier === modifiers.invalid ? modifiers.linear : image.modifier
    const refusal = checkImageFor(device, { ...image, modifier, planes: devicePlanes(image) })
    if (refusal !== undefined) {
      const what = `a ${format.fourcc} image of ${image.width} by ${image.height}`
      throw problem(
        'constraint',
        { device: device.name, what, ...refusal },
        { result: -errno.EINVAL, refusal },
      )
    }
    const attachments: Attachment[] = []
    try {
      const byBuffer = new Map<unknown, SgTable>()
      const tables: SgTable[] = []
      for (const { buffer } of image.planes)
        tables.push(await this.#map(buffer, byBuffer, attachments, signal))
      return { image, format, attachments, tables }
    } catch (error) {
      for (const attachment of attachments) attachment.detach()
      throw error
    }
  }

  async #map(
    buffer: DmaBuf,
    byBuffer: Map<unknown, SgTable>,
    attachments: Attachment[],
    signal: AbortSignal | undefined,
  ): Promise<SgTable> {
    const core = coreOf(buffer)
    const known = byBuffer.get(core)
    if (known !== undefined) return known
    const attachment = await attachDevice(core, this.device, undefined)
    attachments.push(attachment)
    const table = await attachment.map('to-device', signal === undefined ? undefined : { signal })
    byBuffer.set(core, table)
    return table
  }

  async #read({ image, format, tables }: Scanout): Promise<Picture> {
    const { width, height } = image
    const planes = await Promise.all(
      image.planes.map(async ({ offset, stride }, plane) => {
        const line = leastStride(format, plane, width)
        const lines = planeHeight(format, plane, height)
        if (stride === line) return this.#engine.read(tables[plane]!, offset, line * lines)
        const pixels = new Uint8Array(line * lines)
        for (let y = 0; y < lines; y++) {
          pixels.set(await this.#engine.read(tables[plane]!, offset + y * stride, line), y * line)
        }
        return pixels
      }),
    )
    return { width, height, format, planes }
  }

  #check(): void {
    if (this.#closed) throw problem('closedDrm', { what: 'display', device: this.device.name })
  }
}

/** Unmaps and detaches. */
function release({ attachments }: Scanout): void {
  for (const attachment of attachments) attachment.detach()
}
