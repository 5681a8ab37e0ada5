import { errno, problem, systemError } from '../internal/errors.ts'
import type { CacheHints } from '../memory/cache/maintenance.ts'
import type { Mapping, SequenceWord } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { Access } from './access.ts'
import type { BracketOwner, Coherence } from './coherence.ts'
import { fitsView } from './map-storage.ts'
import { overlap, type Piece, type Range, StagedPieces, within } from './staged-pieces.ts'
import type { Storage } from './storage.ts'

interface StagedBuffer {
  readonly name: string
  readonly storage: Storage
  readonly mappings: { readonly pastGuard: Mapping }
}

/** A write bracket. */
interface Writing extends Range {
  readonly owner: BracketOwner
  /** What was in its pieces before: only what has changed since is written back. Strict mode has none. */
  readonly before: Piece[]
}

/**
 * Views of an environment's own copy: filled from the storage when a bracket begins, written back when one that writes ends,
 * the range of the bracket each time. What a write bracket has open is not filled over. This is strict mode; and it is what
 * serves where the runtime allows no ArrayBuffer over shared memory, where brackets that are closed with their buffer are
 * written back too, as in plain shared memory.
 */
export class Staging implements Coherence {
  readonly coherency: 'coherent' | 'strict'
  readonly zeroCopy = false
  readonly #buffer: StagedBuffer
  readonly #writing: Writing[] = []
  readonly #pieces: StagedPieces

  constructor(buffer: StagedBuffer, coherency: 'coherent' | 'strict') {
    this.#buffer = buffer
    this.coherency = coherency
    this.#pieces = new StagedPieces(buffer.name, () => this.#buffer.storage.byteLength)
  }

  get fileBytes(): number {
    return this.#buffer.storage.byteLength
  }

  show(offset: number, length: number): Uint8Array {
    return this.#pieces.show(offset, length, (piece) => {
      this.#fill(piece, { offset: piece.offset, length: piece.bytes.length })
      for (const open of this.#writing) this.#remember(open, piece)
    })
  }

  begin(access: Access, offset: number, length: number, _: CacheHints, owner: BracketOwner): void {
    for (const part of without({ offset, length }, this.#writing)) {
      for (const piece of this.#pieces.live()) this.#fill(piece, part)
    }
    if (access === 'read') return
    const open = { offset, length, owner, before: [] }
    this.#writing.push(open)
    for (const piece of this.#pieces.live()) this.#remember(open, piece)
  }

  end(access: Access, offset: number, length: number, _: CacheHints, owner: BracketOwner): void {
    if (access === 'read') return
    const index = this.#writing.findIndex(
      (open) => open.owner === owner && open.offset === offset && open.length === length,
    )
    if (index < 0) return
    for (const open of this.#writing.splice(index, 1)) this.#writeBack(open)
  }

  abandon(owner: BracketOwner): void {
    for (const open of this.#writing.filter((range) => range.owner === owner)) {
      this.#writing.splice(this.#writing.indexOf(open), 1)
      if (this.coherency === 'coherent') this.#writeBack(open)
    }
  }

  mapped(): void {}

  unmapped(): void {}

  /** Devices are coherent with the storage, whatever views show. */
  device(
    kind: 'read' | 'write',
    _: boolean,
    offset: number,
    length: number,
    use: (bytes: Uint8Array) => void,
  ): void {
    const bytes = new Uint8Array(length)
    const mapping = this.#buffer.mappings.pastGuard
    this.#copied(addon().copyOut(mapping, offset, bytes, []))
    use(bytes)
    if (kind === 'write') this.#copied(addon().copyIn(mapping, offset, bytes))
  }

  tick(): void {}

  storageChanged(): void {}

  /** What was stored there goes to the storage now: nobody may hold the copy of it until the bracket ends. */
  hide(offset: number, length: number): void {
    if (fitsView(this.fileBytes)) return
    const hidden = { offset, bytes: { length } }
    for (const open of this.#writing) if (overlap(open, hidden) !== undefined) this.#writeBack(open)
    this.#pieces.drop(offset, length)
  }

  refresh(): void {
    for (const part of without({ offset: 0, length: this.fileBytes }, this.#writing)) {
      for (const piece of this.#pieces.live()) this.#fill(piece, part)
    }
  }

  unmap(): void {
    this.#pieces.dropAll()
  }

  /** Copies what views show. Verified when the storage, undisturbed by its writers, has the same bytes. */
  copyOut(target: Uint8Array, offset: number, sequences: readonly SequenceWord[] | undefined): boolean {
    const range = { offset, length: target.length }
    const pieces = this.#pieces.live()
    let verified = false
    if (sequences !== undefined || pieces.every((piece) => overlap(range, piece)?.length !== range.length)) {
      const { pastGuard } = this.#buffer.mappings
      const result = this.#copied(addon().copyOut(pastGuard, offset, target, sequences ?? []))
      verified = sequences !== undefined && (result === 1 || sequences.length === 0)
    }
    for (const piece of pieces) {
      const part = overlap(range, piece)
      if (part === undefined) continue
      const own = within(piece, part)
      const copied = within({ offset, bytes: target }, part)
      if (verified) verified = Buffer.compare(copied, own) === 0
      copied.set(own)
    }
    return verified
  }

  #fill(piece: Piece, range: Range): void {
    const part = overlap(range, piece)
    if (part === undefined) return
    this.#copied(addon().copyOut(this.#buffer.mappings.pastGuard, part.offset, within(piece, part), []))
  }

  #remember(open: Writing, piece: Piece): void {
    const part = this.coherency === 'strict' ? undefined : overlap(open, piece)
    if (part !== undefined) open.before.push({ offset: part.offset, bytes: within(piece, part).slice() })
  }

  /** In strict mode all of the range; else what else is there, from other processes or devices, stays. */
  #writeBack(open: Writing): void {
    const { pastGuard } = this.#buffer.mappings
    for (const piece of this.#pieces.live()) {
      const part = overlap(open, piece)
      if (part === undefined) continue
      if (this.coherency === 'strict') {
        this.#copied(addon().copyIn(pastGuard, part.offset, within(piece, part)))
      } else {
        const before = open.before.find(({ offset }) => offset === part.offset)
        if (before?.bytes.length !== part.length) continue
        this.#copied(addon().copyChanged(pastGuard, part.offset, within(piece, part), before.bytes))
      }
    }
  }

  #copied(result: number): number {
    const { name, mappings } = this.#buffer
    if (result === -errno.EFAULT || mappings.pastGuard.faulted) throw problem('truncated', { name })
    if (result < 0) throw systemError(result, 'copy', `copying buffer ${name}`)
    return result
  }
}

/** The parts of a range that none of the others cover. */
export function without(range: Range, others: readonly Range[]): Range[] {
  let left = range.length > 0 ? [range] : []
  for (const other of others) {
    const otherEnd = other.offset + other.length
    left = left.flatMap(({ offset, length }) => {
      const end = offset + length
      const before = { offset, length: Math.min(end, other.offset) - offset }
      const from = Math.max(offset, otherEnd)
      const behind = { offset: from, length: end - from }
      if (before.length >= length || behind.length >= length) return [{ offset, length }]
      return [before, behind].filter((part) => part.length > 0)
    })
  }
  return left
}
