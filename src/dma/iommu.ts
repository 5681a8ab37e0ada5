import { problem } from '../internal/errors.ts'
import { bigInteger, integer, options, shown } from '../internal/validate.ts'
import { hex, PAGE_SIZE, roundUp } from './address.ts'
import type { DmaConstraints, Segment } from './constraints.ts'
import { joined } from './fit.ts'
import { IovaSpace, lastAtOrBelow } from './iova-space.ts'
import { PageTables } from './page-tables.ts'

export interface IommuOptions {
  /** Bytes of its pages, a power of two from 4096 to 1 GiB; 4096. */
  readonly pageSize?: number
  /**
   * The IOVAs that it translates, both inclusive, whole pages, below 2^52. From the first page up (0 is no address that a device is
   * given) to 48 bits when left out.
   */
  readonly aperture?: { readonly start: bigint; readonly end: bigint }
  /** Pages that its page tables may take, the root apart; any number when left out. */
  readonly pageTablePages?: number
}

/** Who asks for IOVAs: a device. */
export interface IovaUser {
  readonly name: string
  readonly constraints: DmaConstraints
}

/** A buffer in IOVA space. */
export interface IovaMapping {
  /** Where its bytes are, in their order. One run, unless memory does not fill the IOMMU's pages. */
  readonly runs: readonly Segment[]
  /** Gives the IOVAs and page tables back. Idempotent. */
  unmap(): void
}

interface Piece extends Segment {
  /** Of its first byte, from the first IOVA of the mapping on. */
  readonly offset: number
}

interface Placed {
  readonly start: number
  readonly pieces: readonly Piece[]
}

/**
 * An IOMMU: one address space (a domain) for every device that stands behind it. Each buffer gets one range of it, from the
 * top down below the device's mask, at a multiple of its size where there is such a place (so that it crosses no boundary
 * that it need not), as drivers/iommu/iova.c and dma-iommu.c do. Exhausted IOVA space or page tables are `ENOSPC` (the
 * kernel says `ENOMEM` for these and for all else).
 */
export class Iommu {
  readonly pageSize: number
  readonly aperture: { readonly start: bigint; readonly end: bigint }
  readonly #space: IovaSpace
  readonly #tables: PageTables
  /** In order of IOVA. */
  readonly #placed: Placed[] = []

  /** Holds no resource but JavaScript memory. */
  constructor(iommuOptions?: IommuOptions) {
    const opts = options('Iommu', iommuOptions, ['pageSize', 'aperture', 'pageTablePages'])
    this.pageSize = integer('pageSize', opts.pageSize ?? PAGE_SIZE, PAGE_SIZE, 2 ** 30)
    if (!Number.isInteger(Math.log2(this.pageSize))) wrong('pageSize', 'a power of two', opts.pageSize)
    this.aperture = Object.freeze(apertureOf(opts.aperture, BigInt(this.pageSize)))
    const end = Number(this.aperture.end) + 1
    const limit = integer('pageTablePages', opts.pageTablePages ?? Number.MAX_SAFE_INTEGER, 1)
    this.#space = new IovaSpace(Number(this.aperture.start), end)
    this.#tables = new PageTables(this.pageSize, end / this.pageSize, limit)
  }

  /** Bytes of IOVA space that nobody has. */
  get freeBytes(): number {
    return this.#space.freeBytes
  }

  /** Pages that the page tables take now, the root apart. */
  get pageTablePages(): number {
    return this.#tables.used
  }

  /** Buffers mapped now. */
  get mappings(): number {
    return this.#placed.length
  }

  /**
   * Maps memory for a device. The place of the first byte in its page is kept. Memory whose runs do not begin and end at
   * pages of the IOMMU (which are larger than 4096 bytes, then) gets a run of IOVAs for each of them, within the one range.
   *
   * @internal
   */
  map(segments: readonly Segment[], device: IovaUser): IovaMapping {
    const { pieces, bytes } = this.#layout(segments)
    if (bytes === 0) return { runs: [], unmap: () => {} }
    const start = this.#place(bytes, device)
    const placed: Placed = { start, pieces }
    this.#placed.splice(this.#indexAt(start) + 1, 0, placed)
    let mapped = true
    return {
      runs: joined(pieces.map(({ offset, length }) => ({ address: start + offset, length }))),
      unmap: () => {
        if (!mapped) return
        mapped = false
        this.#placed.splice(this.#indexAt(start), 1)
        this.#tables.leave(...this.#pages(start, bytes))
        this.#space.release(start, bytes)
      },
    }
  }

  /** The address in physical memory behind an IOVA; `undefined` where nothing is mapped, and a device's access would fault. */
  translate(iova: bigint): bigint | undefined {
    const address = Number(bigInteger('iova', iova, 0n, 2n ** 64n - 1n))
    const placed = this.#placed[this.#indexAt(address)]
    if (placed === undefined) return undefined
    const offset = address - placed.start
    const piece = placed.pieces[lastAtOrBelow(placed.pieces, offset, (each) => each.offset)]
    if (piece === undefined || offset >= piece.offset + piece.length) return undefined
    return BigInt(piece.address + offset - piece.offset)
  }

  #layout(segments: readonly Segment[]): { pieces: Piece[]; bytes: number } {
    const pieces: Piece[] = []
    let end = 0
    for (const { address, length } of joined(segments)) {
      const inPage = address % this.pageSize
      const offset = roundUp(end, this.pageSize) + inPage
      pieces.push({ address, length, offset })
      end = offset + length
    }
    return { pieces, bytes: roundUp(end, this.pageSize) }
  }

  #place(bytes: number, { name, constraints }: IovaUser): number {
    const limit = Number(constraints.dmaMask) + 1
    const aligned = 2 ** Math.ceil(Math.log2(bytes))
    const start =
      this.#space.allocate(bytes, aligned, limit) ?? this.#space.allocate(bytes, this.pageSize, limit)
    if (start === undefined) {
      const longest = this.#space.longestBelow(limit)
      throw problem('iovaSpace', { device: name, bytes, longest, mask: hex(constraints.dmaMask) })
    }
    const pages = this.#pages(start, bytes)
    const needed = this.#tables.missing(...pages)
    const free = this.#tables.limit - this.#tables.used
    if (needed > free) {
      this.#space.release(start, bytes)
      throw problem('pageTables', { device: name, bytes, needed, free, limit: this.#tables.limit })
    }
    this.#tables.enter(...pages)
    return start
  }

  #pages(start: number, bytes: number): [first: number, last: number] {
    return [start / this.pageSize, (start + bytes) / this.pageSize - 1]
  }

  #indexAt(address: number): number {
    return lastAtOrBelow(this.#placed, address, ({ start }) => start)
  }
}

function apertureOf(value: unknown, pageSize: bigint): { start: bigint; end: bigint } {
  const given = options('Iommu aperture', value as IommuOptions['aperture'], ['start', 'end'])
  const start = bigInteger('aperture.start', given.start ?? pageSize, pageSize, 2n ** 52n - 1n)
  const end = bigInteger('aperture.end', given.end ?? 2n ** 48n - 1n, start, 2n ** 52n - 1n)
  const whole = `whole pages of ${pageSize} bytes`
  if (start % pageSize !== 0n || (end + 1n) % pageSize !== 0n)
    wrong('aperture', whole, `${start}n to ${end}n`)
  return { start, end }
}

function wrong(what: string, expected: string, value: unknown): never {
  throw problem('argument', { what, expected, received: shown(value) })
}
