import type { DmaConstraints } from '../dma/constraints.ts'
import { unconstrained } from '../dma/constraints.ts'
import { constraintsOf } from '../dma/device.ts'
import { PhysicalMemory, systemMemory } from '../dma/physical-memory.ts'
import { limits } from '../internal/limits.ts'
import { instance, integer, oneOf, options, text } from '../internal/validate.ts'
import { createMovedStorage, dropMovedStorage, populateMovedStorage } from '../memory/moved-storage.ts'
import type { Sharing } from '../memory/seals.ts'
import type { BufferCore } from './buffer-core.ts'
import { checkExporter, type ExporterInfo } from './export.ts'
import { placedCore } from './placed-core.ts'
import { checkPolicy, type PlacementOptions, placementOptions } from './placement-options.ts'

/** An export without storage: that is made when somebody needs it, where all who are attached reach it, and may move. */
export interface ExportPlacedInfo extends ExporterInfo, PlacementOptions {
  /** There is none yet. */
  readonly fd?: undefined
  /** `'writable'` (default), or `'read-only'`: only this environment can write. */
  readonly sharing?: Sharing
  /** What the exporter itself asks of the memory, beside the devices that attach. */
  readonly constraints?: Partial<DmaConstraints>
  /** The (simulated) physical memory that pages are taken from; default: this environment's own. */
  readonly memory?: PhysicalMemory
}

const placedOptions = [
  ...(['exporterName', 'ops', 'byteLength', 'name', 'sharing', 'constraints', 'memory', 'fd'] as const),
  ...placementOptions,
] as const

/** Makes the inner buffer of an export that has no storage yet. Nothing is allocated. */
export function exportPlacedCore(info: ExportPlacedInfo): BufferCore {
  options('DmaBuf.export', info, placedOptions)
  const exporterName = checkExporter(info)
  const name = text('name', info.name ?? '', limits.maxNameBytes)
  const byteLength = integer('byteLength', info.byteLength, 1)
  const sharing = oneOf('sharing', info.sharing ?? 'writable', ['writable', 'read-only'])
  const memory = info.memory === undefined ? systemMemory() : instance('memory', info.memory, PhysicalMemory)
  return placedCore({
    ...{ name, exporterName, byteLength, sharing, ops: info.ops },
    source: { allocate: (bytes, constraints) => memory.allocate(bytes, { constraints }) },
    policy: checkPolicy(true, info),
    constraints: constraintsOf(info.constraints ?? {}, unconstrained),
    allocateStorage: () => {
      const { fd, charged, mapping, prepared } = createMovedStorage(name, byteLength, sharing)
      try {
        populateMovedStorage({ fd, charged, mapping, prepared }, byteLength)
      } catch (error) {
        dropMovedStorage({ fd, charged, mapping, prepared })
        throw error
      }
      const storage = { fd, offset: 0, byteLength, kind: 'memfd', sharing, writable: true, charged } as const
      return { storage, mapping }
    },
  }).core
}
