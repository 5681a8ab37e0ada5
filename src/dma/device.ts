import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { bigInteger, boolean, instance, integer, options, shown, text } from '../internal/validate.ts'
import { hex, PAGE_SIZE } from './address.ts'
import { type DmaConstraints, unconstrained } from './constraints.ts'
import { longestSegment } from './fit.ts'
import { anyLinearImage, type ImageOptions, type ImageRules, imageRules } from './image-options.ts'
import { Iommu } from './iommu.ts'

export interface DeviceOptions {
  /** Highest address that the device reaches, inclusive: `0xffff_ffffn` for 32 address lines; all 64 bits. */
  readonly dmaMask?: bigint
  /** Bytes that every segment but the last must have; 1. */
  readonly minSegmentSize?: number
  /**
   * Bytes of a segment at most, rounded down to whole pages; at least a page. Without a limit when left out. (The kernel takes
   * 64 KiB where a driver says nothing, and then does not enforce it.)
   */
  readonly maxSegmentSize?: number
  /** No segment crosses a multiple of this plus one, a power of two from the page up: `0xffffn` for 64 KiB windows. */
  readonly segmentBoundaryMask?: bigint
  /** Segments of a table at most; 1 is a device that wants contiguous memory. Any number when left out. */
  readonly maxSegments?: number
  /**
   * Whether the device sees the CPU's caches; true. It matters for non-coherent buffers (`AllocateOptions.coherency`); the
   * memory of others is coherent with every device.
   */
  readonly coherent?: boolean
  /** The IOMMU that stands between the device and memory. Several devices may share one. */
  readonly iommu?: Iommu
  /** What it can do with images. */
  readonly image?: ImageOptions
  /** Parts with needs of their own, by name. What they leave out is as in the whole device. */
  readonly subdevices?: Readonly<Record<string, DeviceOptions>>
}

const knownOptions = [
  ...(['dmaMask', 'minSegmentSize', 'maxSegmentSize', 'segmentBoundaryMask', 'maxSegments'] as const),
  ...(['coherent', 'iommu', 'image', 'subdevices'] as const),
]

/**
 * A device that does DMA, as the kernel's `struct device` describes it to exporters: `dma_mask` and `dma_parms`
 * (include/linux/device.h), with the number of segments that the early dma-buf proposals added. It holds no resource.
 */
export class Device {
  /** `'camera'`; of a subdevice `'camera.luma'`. */
  readonly name: string
  /** The device that this one is a part of. */
  readonly parent: Device | undefined
  /** What the device itself can address: memory, or IOVA space where it stands behind an IOMMU. */
  readonly constraints: DmaConstraints
  /** Whether the CPU's caches are coherent with it. */
  readonly coherent: boolean
  readonly iommu: Iommu | undefined
  readonly image: ImageRules
  readonly #subdevices = new Map<string, Device>()

  /** Errors: `EINVAL` for constraints that no memory can meet. */
  constructor(name: string, deviceOptions?: DeviceOptions)
  /** @internal */
  constructor(name: string, deviceOptions: DeviceOptions | undefined, parent: Device | undefined)
  constructor(name: string, deviceOptions?: DeviceOptions, parent?: Device) {
    const own = text('name', name, limits.maxDeviceNameBytes)
    if (own === '') throw argument('name', 'a device name', name)
    this.name = text('name', parent === undefined ? own : `${parent.name}.${own}`, limits.maxDeviceNameBytes)
    this.parent = parent
    const opts = options('Device', deviceOptions, knownOptions)
    this.constraints = constraintsOf(opts, parent?.constraints ?? unconstrained)
    this.coherent = boolean('coherent', opts.coherent ?? parent?.coherent ?? true)
    this.iommu = opts.iommu === undefined ? parent?.iommu : instance('iommu', opts.iommu, Iommu)
    this.image = imageRules(opts.image, parent?.image ?? anyLinearImage)
    for (const [part, partOptions] of Object.entries(subdevicesOf(opts))) {
      this.#subdevices.set(part, new Device(part, partOptions, this))
    }
  }

  /** What is asked of the memory itself: these constraints, or hardly anything where an IOMMU stands before it. */
  get memoryConstraints(): DmaConstraints {
    if (this.iommu === undefined) return this.constraints
    if (this.iommu.pageSize === PAGE_SIZE) return unconstrained
    // Runs that do not fill the larger pages of this IOMMU stay segments of their own.
    const { maxSegments, minSegmentSize } = this.constraints
    return { ...unconstrained, maxSegments, minSegmentSize }
  }

  /** The names of its parts. */
  get subdevices(): readonly string[] {
    return [...this.#subdevices.keys()]
  }

  /** The part of that name, always the same object. Errors: `EINVAL` where it has none of that name. */
  subdevice(name: string): Device {
    const found = this.#subdevices.get(name)
    if (found !== undefined) return found
    const known = this.subdevices.map((part) => `'${part}'`).join(' or ')
    throw argument(`a subdevice of ${this.name}`, known || 'nothing (it has no subdevices)', name)
  }

  /** Whether this is `device` or a part of it. */
  isPartOf(device: Device): boolean {
    return this === device || (this.parent?.isPartOf(device) ?? false)
  }
}

function argument(what: string, expected: string, value: unknown): Error {
  return problem('argument', { what, expected, received: shown(value) })
}

function subdevicesOf(opts: DeviceOptions): Readonly<Record<string, DeviceOptions>> {
  const { subdevices = {} } = opts
  if (typeof subdevices === 'object' && subdevices !== null && !Array.isArray(subdevices)) return subdevices
  throw argument('subdevices', 'an object of options by name', subdevices)
}

/** Constraints from outside, checked; what they leave out is as in others. */
export function constraintsOf(opts: Partial<DmaConstraints>, inherited: DmaConstraints): DmaConstraints {
  const all = 2n ** 64n - 1n
  const page = BigInt(PAGE_SIZE)
  const constraints: DmaConstraints = Object.freeze({
    dmaMask: bigInteger('dmaMask', opts.dmaMask ?? inherited.dmaMask, page - 1n, all),
    minSegmentSize: integer('minSegmentSize', opts.minSegmentSize ?? inherited.minSegmentSize, 1),
    maxSegmentSize: integer('maxSegmentSize', opts.maxSegmentSize ?? inherited.maxSegmentSize, PAGE_SIZE),
    segmentBoundaryMask: boundaryMask(opts.segmentBoundaryMask ?? inherited.segmentBoundaryMask),
    maxSegments: integer('maxSegments', opts.maxSegments ?? inherited.maxSegments, 1),
  })
  const longest = longestSegment(constraints)
  if (constraints.minSegmentSize > longest) {
    const range = `an integer from 1 to ${longest} (the longest segment of whole pages that its other limits allow)`
    throw argument('minSegmentSize', range, constraints.minSegmentSize)
  }
  return constraints
}

function boundaryMask(value: unknown): bigint {
  const mask = bigInteger('segmentBoundaryMask', value, BigInt(PAGE_SIZE) - 1n, 2n ** 64n - 1n)
  if ((mask & (mask + 1n)) === 0n) return mask
  throw argument('segmentBoundaryMask', 'a power of two less one', `${hex(mask)}`)
}
