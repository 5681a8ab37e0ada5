import { checked, errno, problem, systemError } from '../internal/errors.ts'
import { MapKind, type Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { charge, refund } from './budget.ts'
import { storageBytes } from './memfd.ts'
import { hasSeals, Seal } from './seals.ts'

/** Not the one against every write: the contents are still to come. */
const KEPT_SEALS = Seal.shrink | Seal.grow | Seal.futureWrite | Seal.seal

/** Storage that was made for a move: sealed, so that it can be sent before its contents are there. */
export interface MovedStorage {
  readonly fd: number
  readonly charged: number
  /** The one writable mapping of read-only memory, which its seal forbids to make again. */
  readonly mapping: Mapping | undefined
}

/**
 * The size is set and sealed as that of `old`, whose contents are to come; pages come with them, which is one pass over them
 * instead of two.
 */
export function createMovedStorage(name: string, byteLength: number, old: number): MovedStorage {
  const native = addon()
  const seals = checked(native.getSeals(old), 'fcntl', `looking at buffer ${name}`) & KEPT_SEALS
  const charged = storageBytes(byteLength)
  charge(charged)
  let fd = -1
  let mapping: Mapping | undefined
  try {
    fd = checked(native.memfdCreate(`dmabuf:${name}`, 0), 'memfd_create', 'creating shared memory')
    checked(native.truncate(fd, charged), 'ftruncate', 'creating shared memory')
    if (hasSeals(seals, Seal.futureWrite)) {
      const mapped = native.map(fd, 0, byteLength, MapKind.shared)
      if (typeof mapped === 'number') throw systemError(mapped, 'mmap', `mapping buffer ${name}`)
      mapping = mapped
    }
    checked(native.addSeals(fd, seals), 'fcntl', `sealing buffer ${name}`)
    return { fd, charged, mapping }
  } catch (error) {
    mapping?.close()
    if (fd >= 0) native.close(fd)
    refund(charged)
    throw error
  }
}

/** Copies the whole of a buffer; a lack of memory shows here, as `ENOSPC`, and leaves the old storage as it is. */
export function fillMovedStorage(from: Mapping, to: MovedStorage, name: string): void {
  const native = addon()
  const bytes = from.byteLength
  if (to.mapping !== undefined) {
    // A seal forbids write(2), not the mapping that was there before it.
    populateMovedStorage(to, bytes)
    checked(native.copyMapping(from, 0, to.mapping, 0, bytes), 'memcpy', `moving buffer ${name}`)
    return
  }
  const result = native.copyToFile(from, 0, bytes, to.fd, 0)
  if (result < 0) throw lacking(result, 'pwrite', bytes)
}

/** Takes every page, so that storing into them cannot fail. */
export function populateMovedStorage(storage: MovedStorage, byteLength: number): void {
  const result = addon().reserve(storage.fd, 0, storage.charged)
  if (result < 0) throw lacking(result, 'fallocate', byteLength)
}

export function dropMovedStorage(storage: MovedStorage): void {
  storage.mapping?.close()
  addon().close(storage.fd)
  refund(storage.charged)
}

function lacking(result: number, syscall: string, bytes: number): Error {
  if (result === -errno.ENOSPC || result === -errno.ENOMEM || result === -errno.EFAULT) {
    return problem(
      'memory',
      { bytes },
      { result: result === -errno.EFAULT ? -errno.ENOMEM : result, syscall },
    )
  }
  return systemError(result, syscall, 'moving a buffer')
}
