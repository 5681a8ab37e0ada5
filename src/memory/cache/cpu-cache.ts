import { CacheHeader, type CacheMemory } from './layout.ts'
import { type LineOps, PlainLines } from './lines.ts'
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
  readonly #memory: CacheMemory
  readonly #ops: LineOps

  constructor(memory: CacheMemory, ops: LineOps = new PlainLines(memory)) {
    this.#memory = memory
    this.#ops = ops
    const { header } = memory
    if (header[CacheHeader.seeded] === 1) this.schedule = new SeededSchedule(header[CacheHeader.seed] ?? 0)
  }

  /** Tables that devices without a view of the cache have mapped, in whatever process. */
  get mapped(): number {
    return Atomics.load(this.#memory.header, CacheHeader.mapped)
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
    const { byteLength } = this.#memory.layout
    this.#moment(0, byteLength)
    if (coherent) return
    Atomics.add(this.#memory.header, CacheHeader.mapped, 1)
    this.#forDevice(direction, 0, byteLength, hints)
  }

  /** The table is given back (`dma_unmap_sgtable()`). */
  unmap(direction: SyncDirection, coherent: boolean, hints: CacheHints = {}): void {
    const { byteLength } = this.#memory.layout
    this.#moment(0, byteLength)
    if (coherent) return
    Atomics.sub(this.#memory.header, CacheHeader.mapped, 1)
    this.#forCpu(direction, 0, byteLength, hints)
  }

  /**
   * A device reads or writes bytes of the buffer. One that is coherent snoops: it reads what the CPU has stored, and what it
   * writes is in the cache too. Any other one goes to memory, whatever the cache holds.
   */
  device(
    kind: 'read' | 'write',
    coherent: boolean,
    offset: number,
    length: number,
    use: (bytes: Uint8Array) => void,
  ): void {
    const { cache, memory } = this.#memory
    this.#moment(offset, length)
    const end = offset + length
    const { first, last } = this.#covering(offset, length)
    if (!coherent) {
      use(memory.subarray(offset, end))
      if (kind === 'write') this.#ops.show(first, last)
      return
    }
    // The snoop writes dirty lines back whole and takes all of them from the CPU, before a part of them is stored over.
    if (kind === 'write') this.#ops.evict(first, last)
    const bytes = cache.subarray(offset, end)
    use(bytes)
    if (kind === 'read') return
    memory.set(bytes, offset)
    this.#ops.evict(first, last)
  }

  /** A moment at which the program does nothing. */
  tick(): void {
    this.#moment(0, this.#memory.layout.byteLength)
  }

  #forCpu(direction: SyncDirection, offset: number, length: number, hints: CacheHints): void {
    if (maintenance.forCpu[direction] !== 'invalidate' || hints.skipInvalidate === true || length === 0)
      return
    const { first, last } = this.#covering(offset, length)
    const { lineSize, byteLength } = this.#memory.layout
    const end = offset + length
    // The bytes behind the end of the buffer are nobody's.
    const partial: LineRange[] = []
    const clean = (line: number) => {
      if (this.#ops.clean(line, line + 1) > 0) partial.push({ first: line, last: line + 1 })
    }
    if (offset % lineSize !== 0) clean(first)
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
    const { lineSize } = this.#memory.layout
    const first = Math.floor(offset / lineSize)
    return { first, last: length === 0 ? first : Math.ceil((offset + length) / lineSize) }
  }

  /** The adversary's turn, before the program's own. */
  #moment(offset: number, length: number): void {
    const { schedule } = this
    if (schedule === undefined) return
    const { header, layout } = this.#memory
    const moment = Atomics.add(header, CacheHeader.moments, 1)
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
    const moment = Atomics.load(this.#memory.header, CacheHeader.moments)
    this.observe({ what, moment, ranges, dirty })
  }
}
