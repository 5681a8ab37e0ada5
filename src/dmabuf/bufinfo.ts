import type { GuardMode } from '../memory/guard/violation.ts'
import { type BracketFaults, bracketFaults, noFaults } from './bracket-faults.ts'
import { type BufferCore, liveBuffers } from './buffer-core.ts'
import type { MoveCosts } from './migration.ts'
import { Placement } from './placement.ts'
import type { HolderInfo } from './shared-state.ts'

/** One line of `bufinfo()`, after the kernel's /sys/kernel/debug/dma_buf/bufinfo. */
export interface BufferInfo {
  /** Number of the buffer in this environment, as in the diagnostics channels. */
  readonly id: number
  readonly name: string
  readonly exporterName: string
  readonly role: 'exporter' | 'holder'
  readonly byteLength: number
  readonly sharing: 'writable' | 'read-only'
  readonly fd: number
  /** `DmaBuf` objects over it in this environment; 0 for one that only others still hold. */
  readonly wrappers: number
  /** Brackets open in this environment, and how many of them write. */
  readonly openBrackets: number
  readonly openWriteBrackets: number
  /** What went wrong with brackets of this environment. */
  readonly bracketFaults: BracketFaults
  /** What went wrong with brackets of holders that are gone; of those that are there, see {@link holders}. */
  readonly formerBracketFaults: BracketFaults
  /** Its guarded mode here, and the violations of it so far. */
  readonly guard: GuardMode | 'off'
  readonly violations: number
  readonly revoked: boolean
  /** Counts the storages that it has had here; 0 while a placed buffer has none. */
  readonly generation: number
  /** May still move, or get its storage later. Its `fd` is -1 as long as there is none. */
  readonly placed: boolean
  /** How often it moved, and the bytes and the time (without brackets) that took. Zeros in a holder. */
  readonly moves: MoveCosts
  /** Devices attached to an exported buffer, in whatever process they are. */
  readonly attachedDevices: readonly AttachedDevice[]
  /** Registered holders of an exported buffer; a plain peer (C, Python) does not register. */
  readonly holders: readonly HolderInfo[]
  /** The stack that created it here, when `recordStacks(true)` or DMABUF_STACKS=1 asked for it. */
  readonly createdAt: string | undefined
}

export interface AttachedDevice {
  readonly name: string
  readonly pid: number
  readonly mapped: boolean
}

/** Every live buffer of this environment, exported or held. */
export function bufinfo(): BufferInfo[] {
  return Array.from(liveBuffers(), describe)
}

function describe(core: BufferCore): BufferInfo {
  return {
    id: core.id,
    name: core.name,
    exporterName: core.exporterName,
    role: core.role,
    byteLength: core.storage.byteLength,
    sharing: core.storage.sharing,
    fd: core.storage.fd,
    wrappers: core.wrappers,
    openBrackets: core.openBrackets,
    openWriteBrackets: core.openWriteBrackets,
    bracketFaults: bracketFaults(core),
    formerBracketFaults: core.shared?.formerFaults ?? noFaults,
    guard: core.mappings.guard?.mode ?? 'off',
    violations: core.mappings.guard?.violations ?? 0,
    revoked: core.isRevoked,
    generation: core.generation,
    placed: core.entry !== undefined,
    ...placeOf(core),
    holders: core.shared?.holders() ?? [],
    createdAt: core.createdAt,
  }
}

function placeOf({ host }: BufferCore): Pick<BufferInfo, 'moves' | 'attachedDevices'> {
  if (!(host instanceof Placement)) {
    return { moves: { moves: 0, bytesMoved: 0, milliseconds: 0 }, attachedDevices: [] }
  }
  const attachedDevices = Array.from(host.attachments, ({ deviceName, pid, isMapped }) => {
    return { name: deviceName, pid, mapped: isMapped }
  })
  return { moves: host.migration.costs, attachedDevices }
}
