import type { DmaConstraints } from '../dma/constraints.ts'
import type { PageSource } from '../dma/page-source.ts'
import type { Sharing } from '../memory/seals.ts'
import type { Mapping } from '../native/addon.ts'
import type { DeviceDescription } from './attachment-host.ts'
import { BufferCore } from './buffer-core.ts'
import type { Coherency } from './coherence.ts'
import { coherenceFor } from './coherence-for.ts'
import type { ExporterOps } from './exporter-ops.ts'
import { Placement, type PlacementPolicy } from './placement.ts'
import type { Storage } from './storage.ts'

/** What an exporter inside the library says of a buffer whose storage it makes when it is needed. */
export interface PlacedCoreInit {
  readonly name: string
  readonly exporterName: string
  readonly ops: ExporterOps
  readonly byteLength: number
  readonly sharing: Sharing
  readonly coherency?: Coherency
  readonly source: PageSource
  readonly policy: PlacementPolicy
  readonly constraints?: DmaConstraints
  /** See PlacementInit. */
  readonly sourceFor?: (device: DeviceDescription | undefined) => PageSource | undefined
  readonly allocateStorage: () => { storage: Storage; mapping: Mapping | undefined }
}

/** A buffer that is exported before any storage exists: that comes with the first map or CPU access. */
export function placedCore(init: PlacedCoreInit): { core: BufferCore; placement: Placement } {
  const { name, exporterName, byteLength, sharing, ops } = init
  const storage: Storage = {
    fd: -1,
    offset: 0,
    byteLength,
    kind: 'memfd',
    sharing,
    writable: true,
    charged: 0,
  }
  const core = new BufferCore({ name, exporterName, role: 'exporter', storage })
  core.generation = 0
  core.coherence = coherenceFor(core, init.coherency ?? 'coherent')
  core.ops = ops
  core.onDestroy = () => ops.release()
  const { source, policy, constraints, sourceFor } = init
  const placement = new Placement(core, {
    source,
    policy,
    ...(constraints === undefined ? {} : { constraints }),
    ...(sourceFor === undefined ? {} : { sourceFor }),
    allocateStorage: () => {
      const made = init.allocateStorage()
      core.storage = made.storage
      core.mappings.replace(made.mapping)
      core.generation = 1
    },
  })
  return { core, placement }
}
