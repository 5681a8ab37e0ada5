/** File seals of memfd_create(2) and the sets of them that make memory shareable. */
export const Seal = { seal: 0x01, shrink: 0x02, grow: 0x04, write: 0x08, futureWrite: 0x10 } as const

/** What `inspect` reports for a file that knows no seals. */
export const NO_SEALS = 0xffff_ffff

/** The size is fixed and no seal can be added: many may write, nobody can freeze. */
export const WRITABLE_SEALS = Seal.shrink | Seal.grow | Seal.seal
/** The size is fixed and nobody but who has mapped it already can write; frozen later by `WRITE | SEAL`. */
export const READ_ONLY_SEALS = Seal.shrink | Seal.grow | Seal.futureWrite
export const FROZEN_SEALS = Seal.write | Seal.seal

/** The size is fixed; either of the two sets above can still be made of it. */
export const UNDECIDED_SEALS = Seal.shrink | Seal.grow

/** How memory may be shared: by many writers, or written by its exporter alone. */
export type Sharing = 'writable' | 'read-only'

export function hasSeals(seals: number, wanted: number): boolean {
  return seals !== NO_SEALS && (seals & wanted) === wanted
}

/** Whether nobody can map it for writing any more; who has done so before may still write, unless it is frozen. */
export function isWriteSealed(seals: number): boolean {
  return hasSeals(seals, Seal.futureWrite) || hasSeals(seals, Seal.write)
}

/** Whether no process at all can write any more, now or later. */
export function isFrozen(seals: number): boolean {
  return hasSeals(seals, Seal.write)
}
