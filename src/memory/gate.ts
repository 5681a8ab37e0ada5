import { readFileSync } from 'node:fs'
import { problem } from '../internal/errors.ts'
import { addon } from '../native/load.ts'
import { type FileFacts, inspect } from './facts.ts'
import { hasSeals, isWriteSealed, NO_SEALS, READ_ONLY_SEALS, Seal, WRITABLE_SEALS } from './seals.ts'

/** Magic numbers of statfs(2). */
const TMPFS = 0x0102_1994
const HUGETLBFS = 0x9584_58f6

const FILE_TYPE = 0o170000
const REGULAR = 0o100000
const ACCESS_MODE = 3
const WRITE_ONLY = 1
const READ_WRITE = 2
const PATH_ONLY = 0o10000000

/** What a descriptor was found to be. `unsealed` memory may shrink under its readers. */
export type StorageKind = 'memfd' | 'dma-buf' | 'unsealed'

export interface Admitted {
  readonly kind: StorageKind
  readonly facts: FileFacts
}

/**
 * The gate: decides, from what the kernel says alone, whether a stranger's descriptor may be mapped. Returns the
 * reason when not. Nothing is asked of a file system that a stranger may be serving.
 */
export function admitStorage(fd: number): Admitted | string {
  const facts = inspect(fd)
  if (typeof facts === 'number') return 'it is not open'
  // Such a descriptor answers no question about seals, so it would pass for a file without any.
  if ((facts.statusFlags & PATH_ONLY) !== 0) return 'it is only a path (O_PATH)'
  if (facts.seals === NO_SEALS) return admitDmaBuf(fd)
  if (facts.fileSystem !== TMPFS && facts.fileSystem !== HUGETLBFS) return 'it is not on tmpfs or hugetlbfs'
  if ((facts.mode & FILE_TYPE) !== REGULAR) return 'it is not a regular file'
  if ((facts.statusFlags & ACCESS_MODE) === WRITE_ONLY) return 'it cannot be read (O_WRONLY)'
  const fixed = hasSeals(facts.seals, WRITABLE_SEALS) || hasSeals(facts.seals, READ_ONLY_SEALS)
  const frozen = hasSeals(facts.seals, Seal.shrink | Seal.grow | Seal.write)
  return { kind: (fixed || frozen) && facts.links === 0 ? 'memfd' : 'unsealed', facts }
}

/**
 * A real dma-buf has no seals. Its link text begins with `/dmabuf:` and its fdinfo names its exporter: both are the
 * kernel's own words, and neither asks a file system.
 */
function admitDmaBuf(fd: number): Admitted | string {
  const target = addon().linkTarget(fd)
  if (typeof target === 'number') return 'it has no seals'
  if (!target.startsWith('/dmabuf:') || dmaBufNames(fd) === undefined) return `it is ${target}`
  const facts = inspect(fd, true)
  return typeof facts === 'number' ? 'it is not open' : { kind: 'dma-buf', facts }
}

/** The exporter's name of a real dma-buf, and the name it was given, from the kernel's fdinfo. */
export function dmaBufNames(fd: number): { exporterName: string; name: string } | undefined {
  let info: string
  try {
    info = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')
  } catch {
    return undefined
  }
  const exporterName = /^exp_name:\s*(.*)$/m.exec(info)?.[1]
  if (exporterName === undefined) return undefined
  return { exporterName, name: /^name:\s*(.*)$/m.exec(info)?.[1] ?? '' }
}

/** Whether a descriptor can be mapped for writing: by its own access mode, and by the seals of its memory. */
export function isWritable(facts: FileFacts): boolean {
  return !isWriteSealed(facts.seals) && (facts.statusFlags & ACCESS_MODE) === READ_WRITE
}

/** A page that only its owner writes: state and holder segments must be sealed like this before they are sent. */
export function admitSegment(fd: number, byteLength: number): FileFacts | string {
  const facts = inspect(fd)
  if (typeof facts === 'number') return 'a segment descriptor is not open'
  if (!hasSeals(facts.seals, READ_ONLY_SEALS)) return 'a segment is not sealed'
  if (facts.fileSystem !== TMPFS || facts.links !== 0) return 'a segment is not anonymous memory'
  if (facts.size !== byteLength) return `a segment has ${facts.size} bytes instead of ${byteLength}`
  return facts
}

/** Whether a descriptor is the writing end of a pipe: the kernel itself answers, never a file system. */
export function admitLeash(fd: number): true | string {
  const access = addon().pipeAccess(fd)
  if (access < 0) return 'a leash is not a pipe'
  return access === WRITE_ONLY ? true : 'a leash is not a writing end'
}

/**
 * Closes a stranger's descriptor: at once when it is memory, which no server stands behind, else on another thread.
 * Whoever receives fast would otherwise have thousands waiting to be closed.
 */
export function dismiss(fd: number): void {
  // Only memory has seals.
  if (addon().getSeals(fd) >= 0) addon().close(fd)
  else addon().closeLater([fd])
}

/** Checks that the range lies inside the file, by the file's own size. */
export function checkRange(fd: number, size: number, offset: number, byteLength: number): void {
  if (offset <= size && byteLength <= size - offset) return
  throw problem('beyondEnd', { fd, offset, end: offset + byteLength, size })
}
