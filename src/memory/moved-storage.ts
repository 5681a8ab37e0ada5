import { checked, errno, problem, systemError } from '../internal/errors.ts'
import { MapKind, type Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { charge, refund } from './budget.ts'
import { storageBytes } from './memfd.ts'
import { READ_ONLY_SEALS, type Sharing, UNDECIDED_SEALS, WRITABLE_SEALS } from './seals.ts'

/** By how it may be shared, which may be decided only after the move. */
const sealsFor = {
  writable: WRITABLE_SEALS,
  'read-only': READ_ONLY_SEALS,
  undecided: UNDECIDED_SEALS,
} as const

/** Storage that was made for a move: sealed, so that it can be sent before its contents are there. */
export interface MovedStorage {
  readonly fd: number
  readonly charged: number
  /** All of it, writable. For read-only memory it is the only one that its seal will ever allow. */
  readonly mapping: Mapping | undefined
  /** Every page is there and is in the page tables of the mapping. */
  readonly prepared: boolean
}

/**
 * Storage without pages, whose size is set and sealed. They come with the contents: a page that is allocated or mapped
 * before it is written is cleared first, which is one pass over the memory more.
 */
export function createMovedStorage(
  name: string,
  byteLength: number,
  sharing: Sharing | 'undecided',
): MovedStorage {
  return create(name, byteLength, sharing, false)
}

/**
 * Storage whose pages are all there, made ahead of a move: filling it costs what a plain copy does. The move takes its
 * mapping over, so that its views need not find the pages one by one either.
 */
export function prepareMovedStorage(
  name: string,
  byteLength: number,
  sharing: Sharing | 'undecided',
): MovedStorage {
  return create(name, byteLength, sharing, true)
}

function create(
  name: string,
  byteLength: number,
  sharing: Sharing | 'undecided',
  prepared: boolean,
): MovedStorage {
  const native = addon()
  // Its bytes would count against the budget, and its pages are in the caches still.
  closeRetired()
  const charged = storageBytes(byteLength)
  charge(charged)
  let fd = -1
  let mapping: Mapping | undefined
  try {
    fd = checked(native.memfdCreate(`dmabuf:${name}`, 0), 'memfd_create', 'creating shared memory')
    checkMemory(native.truncate(fd, charged), 'ftruncate', byteLength)
    if (prepared || sharing === 'read-only') {
      const mapped = native.map(fd, 0, byteLength, MapKind.shared)
      if (typeof mapped === 'number') throw systemError(mapped, 'mmap', `mapping buffer ${name}`)
      mapping = mapped
    }
    const storage = { fd, charged, mapping, prepared }
    if (prepared) populateMovedStorage(storage, byteLength)
    checked(native.addSeals(fd, sealsFor[sharing]), 'fcntl', `sealing buffer ${name}`)
    return storage
  } catch (error) {
    mapping?.close()
    if (fd >= 0) native.close(fd)
    refund(charged)
    throw error
  }
}

/**
 * Copies the whole of a buffer; a lack of memory shows here, as `ENOSPC` or `ENOMEM`, and leaves the old storage as it is.
 * No byte of the new storage is a hole afterwards.
 */
export function fillMovedStorage(from: Mapping, to: MovedStorage, name: string): void {
  const native = addon()
  const bytes = from.byteLength
  if (to.mapping === undefined) {
    const result = native.copyToFile(from, 0, bytes, to.fd, 0)
    if (result === -errno.EFAULT) throw problem('truncated', { name })
    checkMemory(result, 'pwrite', bytes)
    return
  }
  // A seal forbids write(2), not the mapping that was there before it.
  if (!to.prepared) populateMovedStorage(to, bytes)
  const result = native.copyMapping(from, 0, to.mapping, 0, bytes)
  if (result === -errno.EFAULT) throw problem('truncated', { name })
  checked(result, 'mmap', `moving buffer ${name}`)
}

/** Takes every page, so that storing into them cannot fail. */
export function populateMovedStorage({ fd, charged, mapping }: MovedStorage, byteLength: number): void {
  checkMemory(addon().allocate(fd, charged), 'fallocate', byteLength)
  const result = mapping?.populate(true) ?? 0
  // Kernels before 5.14 do not know it; the pages are there, and come into the page tables one by one.
  if (result !== -errno.EINVAL) checkMemory(result, 'madvise', byteLength)
}

/** What a move leaves behind. */
interface Retired {
  readonly fd: number
  readonly charged: number
}

let retired: Retired | undefined

/**
 * Closes the storage that a move has left, in the next turn of the event loop: giving its pages back takes a quarter of the
 * time of a copy, and the brackets that wait for the end of the move need not wait for that. One at a time, so that
 * moves without a turn between them do not pile storage up.
 */
export function retireStorage(storage: Retired): void {
  closeRetired()
  retired = storage
  setImmediate(() => {
    if (retired === storage) closeRetired()
  })
}

function closeRetired(): void {
  if (retired === undefined) return
  const { fd, charged } = retired
  retired = undefined
  if (fd >= 0) addon().close(fd)
  refund(charged)
}

export function dropMovedStorage(storage: MovedStorage): void {
  storage.mapping?.close()
  addon().close(storage.fd)
  refund(storage.charged)
}

/** Throws for a negative result of what takes memory. */
function checkMemory(result: number, syscall: string, bytes: number): void {
  if (result >= 0) return
  const lacking: number[] = [errno.ENOSPC, errno.ENOMEM, errno.EFBIG]
  if (lacking.includes(-result)) throw problem('memory', { bytes }, { result, syscall })
  throw systemError(result, syscall, 'allocating shared memory')
}
