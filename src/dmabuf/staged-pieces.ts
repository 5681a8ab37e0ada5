import { problem } from '../internal/errors.ts'
import { checkView, fitsView } from './map-storage.ts'

export interface Range {
  readonly offset: number
  readonly length: number
}

/** A piece of the copy that somebody can still see, and where it begins in the buffer. */
export interface Piece {
  readonly offset: number
  readonly bytes: Uint8Array
}

/**
 * An environment's own copy of a buffer: one piece, or several of what one ArrayBuffer cannot show. Whoever shows a piece
 * holds it: held here, from the inner buffer, it would keep its own tether alive for ever.
 */
export class StagedPieces {
  readonly #name: string
  readonly #byteLength: () => number
  /** By their ArrayBuffers, which every view of a piece holds. */
  #pieces: { readonly offset: number; readonly buffer: WeakRef<ArrayBuffer> }[] = []

  constructor(name: string, byteLength: () => number) {
    this.#name = name
    this.#byteLength = byteLength
  }

  /**
   * The copy of a range: the same memory until the views go. `fill` is called for a piece of a large buffer that is new. Pieces
   * may lie inside others, but not overlap in part: a store into one of them could not be seen in the other.
   */
  show(offset: number, length: number, fill: (piece: Piece) => void): Uint8Array {
    const byteLength = this.#byteLength()
    const whole = fitsView(byteLength)
    const wanted = whole ? { offset: 0, length: byteLength } : { offset, length }
    const at = (piece: Piece) => piece.bytes.subarray(offset - piece.offset, offset - piece.offset + length)
    for (const piece of this.live()) {
      const shared = overlap(wanted, piece)
      if (shared === undefined) continue
      if (shared.length < wanted.length) {
        throw problem('stagedOverlap', { name: this.#name, offset, end: offset + length })
      }
      return at(piece)
    }
    checkView(wanted.length)
    const buffer = new ArrayBuffer(wanted.length)
    const piece = { offset: wanted.offset, bytes: new Uint8Array(buffer) }
    this.#pieces.push({ offset: piece.offset, buffer: new WeakRef(buffer) })
    if (!whole) fill(piece)
    return at(piece)
  }

  /** Those that can still be seen. */
  live(): Piece[] {
    const live: Piece[] = []
    this.#pieces = this.#pieces.filter(({ offset, buffer }) => {
      const present = buffer.deref()
      // Of length 0 when it was transferred away: then it is nobody's copy any more.
      if (present === undefined || present.byteLength === 0) return false
      live.push({ offset, bytes: new Uint8Array(present) })
      return true
    })
    return live
  }

  /** The piece of this range goes; what it had must be in the storage. Whoever shows a part of it asks anew. */
  drop(offset: number, length: number): void {
    for (const piece of this.live()) {
      if (piece.offset === offset && piece.bytes.length === length) detach(piece)
    }
  }

  /** Detaches every view, as those of shared memory are when their buffer goes. */
  dropAll(): void {
    for (const piece of this.live()) detach(piece)
    this.#pieces = []
  }
}

function detach({ bytes: { buffer } }: Piece): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })
}

/** What of a range lies in a piece. */
export function overlap(
  range: Range,
  { offset, bytes }: { readonly offset: number; readonly bytes: { readonly length: number } },
): Range | undefined {
  const from = Math.max(range.offset, offset)
  const end = Math.min(range.offset + range.length, offset + bytes.length)
  return from < end ? { offset: from, length: end - from } : undefined
}

/** The bytes of a part that lies in a piece. */
export function within({ offset, bytes }: Piece, part: Range): Uint8Array {
  return bytes.subarray(part.offset - offset, part.offset - offset + part.length)
}
