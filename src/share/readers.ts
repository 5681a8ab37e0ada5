import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { exporterPort } from './exporter-port.ts'
import type { Reader } from './reader.ts'

/** Everybody to whom the present storage of an exported buffer was given. */
export function readersOf(core: BufferCore): ReadonlySet<Reader> {
  return exporterPort().published(core)?.readers ?? nobody
}

/** The buffer has new storage: nobody has seen it, and its record names it from now on. */
export function storageReplaced(core: BufferCore): void {
  const published = exporterPort().published(core)
  if (published === undefined) return
  published.readers.clear()
  published.state.setStorage(published.record, core.storage, core.generation)
}

const nobody: ReadonlySet<Reader> = new Set()
