import type { Storage } from '../dmabuf/storage.ts'
import { StateRecord } from '../dmabuf/words.ts'
import type { FileIdentity } from '../memory/facts.ts'
import { admitStorage, isWritable } from '../memory/gate.ts'
import type { SharedWords } from '../memory/shared-words.ts'

/** What a placed buffer is known to be before its storage has come. */
export function storageToCome(byteLength: number, writable: boolean): Storage {
  const sharing = writable ? 'writable' : 'read-only'
  return { fd: -1, offset: 0, byteLength, kind: 'memfd', sharing, writable, charged: 0 }
}

/**
 * The storage of a placed buffer, checked: sealed memory that holds all of it, with the rights that its record promises. Or
 * what is wrong with it. `fd` stays the caller's.
 */
export function admitPlaced(fd: number, offset: number, present: Storage): Storage | string {
  const { byteLength } = present
  const admitted = admitStorage(fd)
  if (typeof admitted === 'string') return `storage that cannot be mapped: ${admitted}`
  const { kind, facts } = admitted
  if (kind !== 'memfd') return 'storage of a placed buffer that may still shrink'
  if (!Number.isSafeInteger(offset + byteLength) || offset + byteLength > facts.size)
    return `storage of ${facts.size} bytes for a buffer of ${byteLength} at ${offset}`
  if (present.writable && !isWritable(facts)) return 'storage that is less writable than its record says'
  return { ...present, fd, offset, charged: 0 }
}

/** Whether a file is the storage that a record names: nobody but the exporter can write that. */
export function storageIs(words: SharedWords, base: number, file: FileIdentity): boolean {
  return (
    words.get(base + StateRecord.storageInodeLow) === file.inodeLow &&
    words.get(base + StateRecord.storageInodeHigh) === file.inodeHigh &&
    words.get(base + StateRecord.storageDeviceLow) === file.deviceLow &&
    words.get(base + StateRecord.storageDeviceHigh) === file.deviceHigh
  )
}
