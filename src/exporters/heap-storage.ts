import type { Coherency } from '../dmabuf/coherence.ts'
import { checkView, mapStorage } from '../dmabuf/map-storage.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { checked, errno, problem, systemError } from '../internal/errors.ts'
import { charge, refund } from '../memory/budget.ts'
import { type CacheLayout, cacheLayout, formatCache, HEADER_BYTES } from '../memory/cache/layout.ts'
import type { GuardMode } from '../memory/guard/violation.ts'
import { createMemfd, type HugePages, storageBytes } from '../memory/memfd.ts'
import { READ_ONLY_SEALS, type Sharing, WRITABLE_SEALS } from '../memory/seals.ts'
import { ArrayWords } from '../memory/shared-words.ts'
import { MapKind, type Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'

/** What one buffer of a heap is made of. */
export interface HeapSpec {
  readonly byteLength: number
  readonly name: string
  readonly sharing: Sharing
  readonly prefault: boolean
  readonly hugePages: 'transparent' | HugePages | undefined
  /** Its own guarded mode; undefined: the environment's. */
  readonly guard?: GuardMode | 'off' | undefined
  readonly coherency: Coherency
  /** Of a non-coherent buffer. */
  readonly lineSize: number
  readonly seed: number | undefined
}

export interface HeapStorage {
  readonly storage: Storage
  /** Made already where the seal forbids to make it later. */
  readonly mapping: Mapping | undefined
}

/**
 * Allocates sealed memory within the budget: nothing of it is left when any step fails. Read-only memory is mapped
 * for writing first, because its seal forbids every later such mapping, the exporter's too.
 */
export function allocateStorage(spec: HeapSpec): HeapStorage {
  const { byteLength, name, sharing } = spec
  const hugeFiles = spec.hugePages === 'transparent' ? undefined : spec.hugePages
  const cached = spec.coherency === 'non-coherent'
  const layout = cacheLayout(byteLength, spec.lineSize, addon().pageSize)
  const fileBytes = cached ? layout.total : byteLength
  // Views of all of it are what the cache and the copies are made of.
  if (spec.coherency !== 'coherent') checkView(fileBytes)
  const charged = storageBytes(fileBytes, hugeFiles)
  charge(charged)
  let fd = -1
  let mapping: Mapping | undefined
  try {
    fd = createMemfd(`dmabuf:${name}`, fileBytes, hugeFiles)
    if (cached) writeHeader(fd, layout, spec)
    const storage: Storage = {
      ...{ fd, offset: 0, byteLength, kind: 'memfd', sharing, writable: true, charged },
      ...(spec.coherency === 'coherent' ? {} : { coherency: spec.coherency }),
    }
    if (sharing === 'read-only' || spec.prefault || spec.hugePages === 'transparent') {
      mapping = mapStorage(storage, 0, byteLength, name)
      // Best effort: a kernel without them for shared memory says so, and small pages serve as well.
      if (spec.hugePages === 'transparent') mapping.adviseHugePages()
      if (spec.prefault) checkPrefault(mapping.populate(true), byteLength)
    }
    const seals = sharing === 'read-only' ? READ_ONLY_SEALS : WRITABLE_SEALS
    checked(addon().addSeals(fd, seals), 'fcntl', `sealing buffer ${name}`)
    return { storage, mapping }
  } catch (error) {
    mapping?.close()
    if (fd >= 0) addon().close(fd)
    refund(charged)
    throw error
  }
}

function writeHeader(fd: number, layout: CacheLayout, { name, lineSize, seed }: HeapSpec): void {
  const mapping = addon().map(fd, layout.header, HEADER_BYTES, MapKind.shared)
  if (typeof mapping === 'number') throw systemError(mapping, 'mmap', `mapping buffer ${name}`)
  const header = new Uint32Array(HEADER_BYTES / 4)
  formatCache(new ArrayWords(header), lineSize, seed)
  addon().copyIn(mapping, 0, new Uint8Array(header.buffer))
  mapping.close()
}

function checkPrefault(result: number, bytes: number): void {
  if (result === -errno.ENOMEM) throw problem('memory', { bytes }, { result, syscall: 'madvise' })
  // Kernels before 5.14 do not know it; the pages then come at first touch.
  if (result < 0 && result !== -errno.EINVAL) throw systemError(result, 'madvise', 'prefaulting memory')
}
