import { DmaBuf, type ExporterOps } from '../../src/index.ts'
import { WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { memfd } from './descriptor.ts'

/** A buffer of an exporter of one's own: zeros, four pages when nothing is said. */
export function exported(ops: ExporterOps, byteLength = 4 * addon().pageSize): DmaBuf {
  return DmaBuf.export({ exporterName: 'own', fd: memfd(byteLength, WRITABLE_SEALS), byteLength, ops })
}
