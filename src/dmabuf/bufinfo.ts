import { type BufferCore, type HolderInfo, liveBuffers } from './buffer-core.ts'

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
  readonly revoked: boolean
  /** Registered holders of an exported buffer; a plain peer (C, Python) does not register. */
  readonly holders: readonly HolderInfo[]
  /** The stack that created it here, when `recordStacks(true)` or DMABUF_STACKS=1 asked for it. */
  readonly createdAt: string | undefined
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
    revoked: core.isRevoked,
    holders: core.shared?.holders() ?? [],
    createdAt: core.createdAt,
  }
}
