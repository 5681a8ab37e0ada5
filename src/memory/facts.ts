import { Fact } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { NO_SEALS } from './seals.ts'

/** Device and inode of a file as 32-bit words: the kernel's own identity of shared memory. */
export interface FileIdentity {
  readonly deviceLow: number
  readonly deviceHigh: number
  readonly inodeLow: number
  readonly inodeHigh: number
}

/** What the kernel says of a descriptor; nothing in it comes from a peer. */
export interface FileFacts extends FileIdentity {
  readonly seals: number
  readonly fileSystem: number
  readonly mode: number
  readonly links: number
  readonly size: number
  /** Flags of `F_GETFL`. */
  readonly statusFlags: number
}

/**
 * Asks the kernel about a descriptor: seals first, because that question cannot hang, and the inode only of files
 * that are memory (`anyway` asks for it in any case: for descriptors of this process's own user).
 */
export function inspect(fd: number, anyway = false): FileFacts | number {
  const native = addon()
  const result = native.inspect(fd, anyway)
  return result < 0 ? result : readFacts(native.scratch.facts)
}

/** Identity of the socket file behind an `O_PATH` descriptor, or a negative errno. */
export function inspectDoor(fd: number): FileIdentity | number {
  const native = addon()
  const result = native.inspectDoor(fd)
  return result < 0 ? result : readFacts(native.scratch.facts)
}

function readFacts(facts: Uint32Array): FileFacts {
  return {
    seals: facts[Fact.seals] ?? NO_SEALS,
    fileSystem: facts[Fact.fileSystem] ?? 0,
    mode: facts[Fact.mode] ?? 0,
    links: facts[Fact.links] ?? 0,
    size: (facts[Fact.sizeHigh] ?? 0) * 2 ** 32 + (facts[Fact.sizeLow] ?? 0),
    deviceLow: facts[Fact.deviceLow] ?? 0,
    deviceHigh: facts[Fact.deviceHigh] ?? 0,
    inodeLow: facts[Fact.inodeLow] ?? 0,
    inodeHigh: facts[Fact.inodeHigh] ?? 0,
    statusFlags: facts[Fact.statusFlags] ?? 0,
  }
}

export function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return (
    a.inodeLow === b.inodeLow &&
    a.inodeHigh === b.inodeHigh &&
    a.deviceLow === b.deviceLow &&
    a.deviceHigh === b.deviceHigh
  )
}

/** A key under which a file can be found in a Map. */
export function identityKey(file: FileIdentity): string {
  return `${file.deviceHigh}:${file.deviceLow}:${file.inodeHigh}:${file.inodeLow}`
}
