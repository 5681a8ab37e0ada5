import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { integer, options, text } from '../internal/validate.ts'
import { type Admitted, admitStorage, checkRange } from '../memory/gate.ts'
import { isWriteSealed } from '../memory/seals.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { BufferCore } from './buffer-core.ts'
import type { Coherency } from './coherence.ts'
import type { ExporterOps } from './exporter-ops.ts'

/** What every export says. */
export interface ExporterInfo {
  /** Shown in `bufinfo` and by `DmaBuf.exporterName`; at most 15 bytes. */
  readonly exporterName: string
  readonly ops: ExporterOps
  readonly byteLength: number
  readonly name?: string
}

/** An export of memory that is there, and stays where it is. */
export interface ExportInfo extends ExporterInfo {
  /** Storage: a sealed memfd or a dma-buf. Consumed, also when the export fails. */
  readonly fd: number
  /** Byte of `fd` at which the buffer begins; 0. */
  readonly offset?: number
}

const exportOptions = ['exporterName', 'ops', 'fd', 'byteLength', 'offset', 'name'] as const

/** Checks an export as `dma_buf_export()` does and makes the inner buffer. */
export function exportCore(info: ExportInfo): BufferCore {
  const fd = integer('fd', info?.fd, 0, 2 ** 31 - 1)
  const native = addon()
  native.adopt(fd)
  try {
    options('DmaBuf.export', info, exportOptions)
    const exporterName = checkExporter(info)
    const byteLength = integer('byteLength', info.byteLength, 1)
    const offset = integer('offset', info.offset ?? 0, 0)
    const admitted = admitOwn(fd)
    checkRange(fd, admitted.facts.size, offset, byteLength)
    const readOnly = isWriteSealed(admitted.facts.seals)
    return exporterCore({
      name: text('name', info.name ?? '', limits.maxNameBytes),
      exporterName,
      ops: info.ops,
      fd,
      offset,
      byteLength,
      kind: admitted.kind,
      sharing: readOnly ? 'read-only' : 'writable',
      writable: !readOnly,
      charged: 0,
    })
  } catch (error) {
    native.close(fd)
    throw error
  }
}

/** The exporter's name, after its ops were looked at. */
export function checkExporter(info: ExporterInfo): string {
  if (typeof info.ops?.release !== 'function') throw problem('exportInfo', { what: 'ops.release' })
  if ((info.ops.pin === undefined) !== (info.ops.unpin === undefined))
    throw problem('exportInfo', { what: 'both ops.pin and ops.unpin, or neither' })
  const exporterName = text('exporterName', info.exporterName, limits.maxExporterNameBytes)
  if (exporterName === '') throw problem('exportInfo', { what: 'a name' })
  return exporterName
}

function admitOwn(fd: number): Admitted {
  const admitted = admitStorage(fd)
  if (typeof admitted === 'string') throw problem('notMemory', { fd, found: admitted })
  if (admitted.kind === 'unsealed') throw problem('unsealed', { fd })
  return admitted
}

/** What an exporter inside the library says of storage that it made itself. */
export interface ExporterCoreInit {
  readonly name: string
  readonly exporterName: string
  readonly ops: ExporterOps
  readonly fd: number
  readonly offset: number
  readonly byteLength: number
  readonly kind: Admitted['kind']
  readonly sharing: 'writable' | 'read-only'
  readonly undecided?: boolean
  readonly writable: boolean
  readonly charged: number
  readonly mapping?: Mapping
  readonly coherency?: Exclude<Coherency, 'coherent'>
}

export function exporterCore(init: ExporterCoreInit): BufferCore {
  const { name, exporterName, ops, mapping, ...storage } = init
  const core = new BufferCore({
    name,
    exporterName,
    role: 'exporter',
    storage,
    ...(mapping === undefined ? {} : { mapping }),
  })
  core.ops = ops
  core.onDestroy = () => ops.release()
  return core
}
