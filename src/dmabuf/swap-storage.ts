import { systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import { mapStorage } from './map-storage.ts'
import type { Storage } from './storage.ts'

/**
 * Puts new storage under the addresses of a buffer's mapping, if it is mapped, and of its ranges (each with the byte of the
 * buffer at which it begins). Everything that can fail is done first: when this throws, nothing has changed. Consumes
 * `prepared`, a mapping of all of the new storage; returns the mapping that the buffer has now.
 */
export function swapMappings(
  mapping: Mapping | undefined,
  ranges: Map<Mapping, number> | undefined,
  storage: Storage,
  prepared: Mapping | undefined,
  name: string,
): Mapping | undefined {
  const made: Mapping[] = []
  const pairs: [old: Mapping, next: Mapping][] = []
  try {
    for (const [range, offset] of ranges ?? []) {
      const next = mapRange(storage, prepared, offset, range.byteLength, name)
      made.push(next)
      pairs.push([range, next])
    }
    if (mapping !== undefined && prepared === undefined) {
      prepared = mapStorage(storage, 0, storage.byteLength, name)
      made.push(prepared)
    }
  } catch (error) {
    for (const next of made) next.close()
    throw error
  }
  for (const [range, next] of pairs) {
    if (tookOver(range, next)) continue
    next.close()
    ranges?.delete(range)
  }
  if (mapping === undefined || prepared === undefined) return prepared
  return tookOver(mapping, prepared) ? mapping : prepared
}

/** The prepared mapping may be the only one that the seals of the storage allow. */
function mapRange(
  storage: Storage,
  prepared: Mapping | undefined,
  offset: number,
  byteLength: number,
  name: string,
): Mapping {
  if (prepared === undefined || storage.sharing === 'writable' || !storage.writable) {
    return mapStorage(storage, offset, byteLength, name)
  }
  const copy = prepared.duplicate(offset, byteLength)
  if (typeof copy === 'number') throw systemError(copy, 'mremap', `mapping buffer ${name}`)
  return copy
}

/** A mapping whose place cannot be taken is given up, and its view detached: better no memory than the old one. */
function tookOver(old: Mapping, next: Mapping): boolean {
  const result = old.takeOver(next)
  if (result === 0) return true
  // Its memory was transferred away, or the kernel has no room for the tables.
  old.close()
  return false
}
