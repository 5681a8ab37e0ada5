import { mapStorage } from '../dmabuf/map-storage.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { checked, errno, problem, systemError } from '../internal/errors.ts'
import { charge, refund } from '../memory/budget.ts'
import type { GuardMode } from '../memory/guard/violation.ts'
import { createMemfd, type HugePages, storageBytes } from '../memory/memfd.ts'
import { READ_ONLY_SEALS, type Sharing, WRITABLE_SEALS } from '../memory/seals.ts'
import type { Mapping } from '../native/addon.ts'
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
  const charged = storageBytes(byteLength, hugeFiles)
  charge(charged)
  let fd = -1
  let mapping: Mapping | undefined
  try {
    fd = createMemfd(`dmabuf:${name}`, byteLength, hugeFiles)
    const storage: Storage = { fd, offset: 0, byteLength, kind: 'memfd', sharing, writable: true, charged }
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

function checkPrefault(result: number, bytes: number): void {
  if (result === -errno.ENOMEM) throw problem('memory', { bytes }, { result, syscall: 'madvise' })
  // Kernels before 5.14 do not know it; the pages then come at first touch.
  if (result < 0 && result !== -errno.EINVAL) throw systemError(result, 'madvise', 'prefaulting memory')
}
