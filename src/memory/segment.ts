import { checked, errno, systemError } from '../internal/errors.ts'
import { MapKind, type Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { MappedWords } from './mapped-words.ts'
import { READ_ONLY_SEALS, Seal } from './seals.ts'
import { ArrayWords, type SharedWords } from './shared-words.ts'

/** A page that this environment writes and others read: sealed against every other writer before it is sent. */
export interface OwnSegment {
  readonly fd: number
  readonly words: SharedWords
  readonly mapping: Mapping
}

/** Makes a segment: mapped for writing first, then sealed, because the seal forbids any later such mapping. */
export function createSegment(name: string, byteLength: number): OwnSegment {
  const native = addon()
  const fd = checked(native.memfdCreate(name, 0), 'memfd_create', 'creating a shared page')
  try {
    checked(native.allocate(fd, byteLength), 'fallocate', 'allocating a shared page')
    const mapping = mapWords(fd, byteLength, MapKind.shared)
    checked(native.addSeals(fd, READ_ONLY_SEALS | Seal.seal), 'fcntl', 'sealing a shared page')
    return { fd, ...mapping }
  } catch (error) {
    native.close(fd)
    throw error
  }
}

/** Maps another's segment for reading. */
export function mapSegment(fd: number, byteLength: number): { words: SharedWords; mapping: Mapping } {
  return mapWords(fd, byteLength, MapKind.sharedReadOnly)
}

function mapWords(fd: number, byteLength: number, kind: MapKind): { words: SharedWords; mapping: Mapping } {
  const mapping = addon().map(fd, 0, byteLength, kind)
  if (typeof mapping === 'number') throw systemError(mapping, 'mmap', 'mapping a shared page')
  try {
    return { words: wordsOf(mapping), mapping }
  } catch (error) {
    mapping.close()
    throw error
  }
}

/** The words of a mapping, by whatever way this runtime has to them. */
export function wordsOf(mapping: Mapping): SharedWords {
  const view = mapping.view()
  if (typeof view !== 'number') return new ArrayWords(new Uint32Array(view))
  if (view === -errno.ENOTSUP) return new MappedWords(mapping)
  throw systemError(view, 'mmap', 'mapping a shared page')
}
