import { constants } from 'node:buffer'
import { errno, problem, systemError } from '../internal/errors.ts'
import { type Mapping, MapKind } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { Storage } from './storage.ts'

/**
 * Keeps a buffer open while JavaScript holds its memory: an ArrayBuffer keeps the tokens of the wrappers that gave
 * it out, and only when a token is gone does the collector close that wrapper. (A WeakMap's value lives no
 * longer than its key.)
 */
const tokens = new WeakMap<ArrayBuffer, Set<object>>()

function keep(view: ArrayBuffer, token: object): void {
  const held = tokens.get(view)
  if (held === undefined) tokens.set(view, new Set([token]))
  else held.add(token)
}

/** Maps a range of storage for JavaScript: shared, or private where a stray store must not kill the process. */
export function mapStorage(storage: Storage, offset: number, length: number, name: string): Mapping {
  // A dma-buf is never mapped privately: most exporters refuse that, and its pages are the device's.
  const shared = storage.writable || storage.kind === 'dma-buf'
  const kind = shared ? MapKind.shared : MapKind.private
  const mapping = addon().map(storage.fd, storage.offset + offset, length, kind)
  if (typeof mapping !== 'number') return mapping
  throw systemError(mapping, 'mmap', `mapping buffer ${name}`)
}

/** The bytes of a mapping; `token` keeps its buffer open as long as they are reachable. */
export function viewOf(mapping: Mapping, token: object, name: string): Uint8Array {
  const view = mapping.view()
  if (typeof view !== 'number') {
    keep(view, token)
    return new Uint8Array(view)
  }
  if (view === -errno.EBUSY) throw problem('movedAway', { name })
  if (view === -errno.ENOTSUP) throw problem('noZeroCopy', {})
  throw systemError(view, 'mmap', `showing buffer ${name}`)
}

/** Whether one ArrayBuffer can show this many bytes on this Node. */
export function fitsView(bytes: number): boolean {
  return bytes <= constants.MAX_LENGTH
}

export function checkView(bytes: number): void {
  if (!fitsView(bytes)) throw problem('tooLargeForView', { bytes, limit: constants.MAX_LENGTH })
}
