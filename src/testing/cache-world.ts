import { Device, type DeviceOptions } from '../dma/device.ts'
import { coreOf, type DmaBuf } from '../dmabuf/dmabuf.ts'
import { NonCoherent } from '../dmabuf/non-coherent.ts'
import type { AllocateOptions } from '../exporters/allocate-options.ts'
import { SystemHeap } from '../exporters/system-heap.ts'
import { SeededSchedule, ThinnedSchedule } from '../memory/cache/schedule.ts'
import type { Act, Keeps, Step, World } from './seed-search.ts'
import { Trace } from './trace.ts'

/** Where a scenario of `underSeeds` gets its buffers and devices from: memory whose caches follow one seed. */
export class CacheWorld implements World {
  /** Undefined where the caches do nothing of their own. */
  readonly seed: number | undefined
  readonly #heap = new SystemHeap()
  readonly #keeps: Keeps
  readonly #buffers: DmaBuf[] = []
  readonly #names: string[] = []
  readonly #ids = new Set<number>()
  readonly #trace = new Trace((id) => this.#ids.has(id))

  /** @internal */
  constructor(seed: number | undefined, keeps: Keeps) {
    this.seed = seed
    this.#keeps = keeps
  }

  /** A non-coherent buffer, as `SystemHeap.allocateSync`; closed with the world if it is not before. */
  allocate(
    byteLength: number,
    allocateOpts: Omit<AllocateOptions, 'movable' | 'delayed' | 'coherency' | 'seed'> = {},
  ): DmaBuf {
    const index = this.#buffers.length
    const name = allocateOpts.name ?? `buffer ${index}`
    // Neighbouring buffers see other caches.
    const seed = this.seed === undefined ? undefined : (this.seed + index * 0x10001) >>> 0
    const buffer = this.#heap.allocateSync(byteLength, {
      ...{ ...allocateOpts, name, coherency: 'non-coherent' },
      ...(seed === undefined ? {} : { seed }),
    })
    const { id, coherence } = coreOf(buffer)
    if (seed !== undefined && coherence instanceof NonCoherent) {
      const keeps = (moment: number) => this.#keeps(index, moment)
      coherence.schedule = new ThinnedSchedule(new SeededSchedule(seed), keeps)
    }
    this.#ids.add(id)
    this.#buffers.push(buffer)
    this.#names.push(name)
    return buffer
  }

  /** A device that does not see the caches, unless the options say otherwise. */
  device(name: string, deviceOptions: DeviceOptions = {}): Device {
    return new Device(name, { coherent: false, ...deviceOptions })
  }

  /** A moment at which the program does nothing, and the caches perhaps do. */
  tick(): void {
    for (const buffer of this.#buffers) if (!buffer.closed) coreOf(buffer).coherence?.tick()
  }

  /** @internal What has happened so far. */
  get steps(): readonly Step[] {
    return this.#trace.steps
  }

  /** @internal Moments at which the adversary acted. */
  get acts(): Act[] {
    return this.steps.flatMap(({ buffer, moment }) =>
      moment === undefined ? [] : [{ buffer: this.#names.indexOf(buffer), moment }],
    )
  }

  /** @internal */
  end(): void {
    this.#trace[Symbol.dispose]()
    for (const buffer of this.#buffers) buffer.close()
  }
}
