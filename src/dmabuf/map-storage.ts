import { constants } from 'node:buffer'
import { problem, systemError } from '../internal/errors.ts'
import { MapKind, type Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { Storage } from './storage.ts'

/** Maps a range of storage for JavaScript: shared, or private where a stray store must not kill the process. */
export function mapStorage(storage: Storage, offset: number, length: number, name: string): Mapping {
  // A dma-buf is never mapped privately: most exporters refuse that, and its pages are the device's.
  const shared = storage.writable || storage.kind === 'dma-buf'
  const kind = shared ? MapKind.shared : MapKind.private
  const mapping = addon().map(storage.fd, storage.offset + offset, length, kind)
  if (typeof mapping !== 'number') return mapping
  throw systemError(mapping, 'mmap', `mapping buffer ${name}`)
}

/** Whether one ArrayBuffer can show this many bytes on this Node. */
export function fitsView(bytes: number): boolean {
  return bytes <= constants.MAX_LENGTH
}

export function checkView(bytes: number): void {
  if (!fitsView(bytes)) throw problem('tooLargeForView', { bytes, limit: constants.MAX_LENGTH })
}
