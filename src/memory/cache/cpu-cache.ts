import { type CacheHead, CacheHeader } from './layout.ts'
import type { LineOps } from './lines.ts'
import { type CacheHints, type CpuUse, directionOf, maintenance, type SyncDirection } from './maintenance.ts'
import { type LineRange, type Schedule, SeededSchedule } from './schedule.ts'

/** Something happened to lines. */
export interface CacheEvent {
  /** The first two are asked for by brackets and maps, the others are the adversary's. */
  readonly what: 'clean' | 'invalidate' | 'evict' | 'prefetch'
  /** Counts the moments of this buffer; of the moment in which the adversary acted. */
  readonly moment: number
  /** Runs of lines: those asked for, or those that the adversary took. */
  readonly ranges: readonly LineRange[]
  /** Lines that were written back, or lost by `invalidate`. */
  readonly dirty: number
}

/**
 * The caches of the CPUs before one buffer's memory, as one cache that is coherent in itself and that devices do not see. The
 * CPU's loads and stores cannot be watched, so two things are assumed of it: that it loads at once what it brackets, and that
 * a line holds a store when its signature is not what it was (a store of an equal value is missed).
 *
 * Everything is in the memory given, so that all processes that map it have the same cache. Plain TypeScript; the library
 * gives it native line operations.
 */
export class CpuCache {
  /** Told of everything that happens to lines. */
  observe: ((event: CacheEvent) => void) | undefined
  /** The adversary; none without a seed. */
  schedule: Schedule | undefined
  readonly #head: CacheHead
  readonly #ops: LineOps

  constructor(head: CacheHead, ops: LineOps) {
    this.#head = head
    this.#ops = ops
    const { header } = head
    if (header.get(CacheHeader.seeded) === 1) this.schedule = new SeededSchedule(header.get(CacheHeader.seed))
  }

  /** Tables that devices without a view of the cache have mapped, in whatever process. */
  get mapped(): number {
    return this.#head.header.load(CacheHeader.mapped)
  }

  /** The memory is made coherent for the CPU, if there is a device that makes that necessary. */
  begin(use: CpuUse, offset: number, length: number, hints: CacheHints = {}): void {
    this.#moment(offset, length)
    if (this.mapped > 0) this.#forCpu(directionOf[use], offset, length, hints)
    const { first, last } = this.#covering(offset, length)
    this.#ops.touch(first, last)
  }

  /** The memory is given back to the devices, if there are any. */
  end(use: CpuUse, offset: number, length: number, hints: CacheHints = {}): void {
    this.#moment(offset, length)
    if (this.mapped > 0) this.#forDevice(directionOf[use], offset, length, hints)
  }

  /** A device's table is made (`dma_map_sgtable()`); a coherent one needs nothing done. */
  map(direction: SyncDirection, coherent: boolean, hints: CacheHints = {}): void {
    const { byteLength } = this.#head.layout
    this.#moment(0, byteLength)
    if (coherent) return
    this.#head.header.add(CacheHeader.mapped, 1)
    this.#forDevice(direction, 0, byteLength, hints)
  }

  /** The table is given back (`dma_unmap_sgtable()`). */
  unmap(direction: SyncDirection, coherent: boolean, hints: CacheHints = {}): void {
    const { byteLength } = this.#head.layout
    this.#moment(0, byteLength)
    if (coherent) return
    this.#head.header.add(CacheHeader.mapped, -1)
    this.#forCpu(direction, 0, byteLength, hints)
  }

  /**
   * A device reads or writes bytes of the buffer. One that is coherent snoops: it reads what the CPU has stored, and what it
   * writes the CPU sees. Any other one goes to memory, whatever the cache holds.
   */
  device(
    kind: 'read' | 'write',
    coherent: boolean,
    offset: number,
    length: number,
    use: (bytes: Uint8Array) => void,
  ): void {
    this.#moment(offset, length)
    const writes = kind === 'write'
    if (coherent && !writes) return this.#ops.access('cache', false, offset, length, use)
    const { first, last } = this.#covering(offset, length)
    // The snoop takes the lines from the CPUs; dirty ones are written back whole before a part of them is stored over.
    if (coherent) this.#ops.evict(first, last)
    this.#ops.access('memory', writes, offset, length, use)
    if (writes) this.#ops.show(first, last)
  }

  /** A moment at which the program does nothing. */
  tick(): void {
    this.#moment(0, this.#head.layout.byteLength)
  }

  #forCpu(direction: SyncDirection, offset: number, length: number, hints: CacheHints): void {
    if (maintenance.forCpu[direction] !== 'invalidate' || hints.skipInvalidate === true || length === 0)
      return
    const { first, last } = this.#covering(offset, length)
    const { lineSize, byteLength } = this.#head.layout
    const end = offset + length
    const partial: LineRange[] = []
    const clean = (line: number) => {
      if (this.#ops.clean(line, line + 1) > 0) partial.push({ first: line, last: line + 1 })
    }
    if (offset % lineSize !== 0) clean(first)
    // The bytes behind the end of the buffer are nobody's.
    if (end % lineSize !== 0 && end !== byteLength) clean(last - 1)
    if (partial.length > 0) this.#tell('clean', partial, partial.length)
    const lost = this.#ops.invalidate(first, last)
    this.#tell('invalidate', [{ first, last }], lost)
  }

  #forDevice(direction: SyncDirection, offset: number, length: number, hints: CacheHints): void {
    if (maintenance.forDevice[direction] !== 'clean' || hints.skipClean === true || length === 0) return
    const { first, last } = this.#covering(offset, length)
    this.#tell('clean', [{ first, last }], this.#ops.clean(first, last))
  }

  /** Lines of which a byte lies in the range. */
  #covering(offset: number, length: number): LineRange {
    const { lineSize } = this.#head.layout
    const first = Math.floor(offset / lineSize)
    return { first, last: length === 0 ? first : Math.ceil((offset + length) / lineSize) }
  }

  /** The adversary's turn, before the program's own. */
  #moment(offset: number, length: number): void {
    const { schedule } = this
    if (schedule === undefined) return
    const { header, layout } = this.#head
    const moment = header.add(CacheHeader.moments, 1)
    const { last: lines } = this.#covering(0, layout.byteLength)
    const turn = schedule.at(moment, this.#covering(offset, length), lines)
    if (turn === undefined) return
    const ranges: { first: number; last: number }[] = []
    let dirty = 0
    for (let line = turn.range.first; line < turn.range.last; line++) {
      if (!turn.takes()) continue
      const isDirty = this.#ops.isDirty(line)
      if (turn.action === 'evict') {
        if (!isDirty && !this.#ops.isPresent(line)) continue
        dirty += this.#ops.evict(line, line + 1)
      } else {
        if (isDirty || this.#ops.isPresent(line)) continue
        this.#ops.touch(line, line + 1)
      }
      const previous = ranges.at(-1)
      if (previous?.last === line) previous.last++
      else ranges.push({ first: line, last: line + 1 })
    }
    if (ranges.length > 0) this.observe?.({ what: turn.action, moment, ranges, dirty })
  }

  #tell(what: 'clean' | 'invalidate', ranges: readonly LineRange[], dirty: number): void {
    if (this.observe === undefined) return
    const moment = this.#head.header.load(CacheHeader.moments)
    this.observe({ what, moment, ranges, dirty })
  }
}
