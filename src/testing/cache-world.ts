import { Device, type DeviceOptions } from '../dma/device.ts'
import { neverWarn } from '../dmabuf/bracket-faults.ts'
import { coreOf, type DmaBuf } from '../dmabuf/dmabuf.ts'
import { NonCoherent } from '../dmabuf/non-coherent.ts'
import type { AllocateOptions } from '../exporters/allocate-options.ts'
import { SystemHeap } from '../exporters/system-heap.ts'
import { options } from '../internal/validate.ts'
import { SeededSchedule, ThinnedSchedule } from '../memory/cache/schedule.ts'
import type { Act, Keeps, Step, World } from './seed-search.ts'
import { Trace } from './trace.ts'

/** The seed is the world's, and so is that its memory is non-coherent. */
const worldOptions = ['name', 'prefault', 'guard', 'lineSize'] as const

/** Where a scenario of `underSeeds` gets its buffers and devices from: memory whose caches follow one seed. */
export class CacheWorld implements World {
  /** Undefined where the caches do nothing of their own. */
  readonly seed: number | undefined
  readonly #heap = new SystemHeap()
  readonly #keeps: Keeps
  readonly #buffers: DmaBuf[] = []
  /** Numbers of the buffers in this environment. */
  readonly #ids: number[] = []
  readonly #trace = new Trace((id) => this.#ids.includes(id))

  /** @internal */
  constructor(seed: number | undefined, keeps: Keeps) {
    this.seed = seed
    this.#keeps = keeps
  }

  /** A non-coherent buffer, as `SystemHeap.allocateSync`; closed with the world if it is not before. */
  allocate(
    byteLength: number,
    allocateOpts: Pick<AllocateOptions, (typeof worldOptions)[number]> = {},
  ): DmaBuf {
    options('allocate', allocateOpts, worldOptions)
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
    this.#ids.push(id)
    this.#buffers.push(buffer)
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
    return this.#trace.steps.map(({ buffer, text, moment }) => ({ buffer, text, moment }))
  }

  /** @internal Moments at which the adversary acted. */
  get acts(): Act[] {
    return this.#trace.steps.flatMap(({ id, moment }) =>
      moment === undefined ? [] : [{ buffer: this.#ids.indexOf(id), moment }],
    )
  }

  /** @internal A scenario that `failed` was left by its error, and has not forgotten the brackets it was in. */
  end(failed: boolean): void {
    this.#trace[Symbol.dispose]()
    for (const buffer of this.#buffers) {
      if (buffer.closed) continue
      if (failed) neverWarn(coreOf(buffer))
      buffer.close()
    }
  }
}
