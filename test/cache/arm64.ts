import type { CacheHints, CpuUse, SyncDirection } from '../../src/memory/cache/maintenance.ts'

interface Line {
  readonly data: Uint8Array
  dirty: boolean
}

/**
 * A CPU's cache as the processor's manual has it, which knows of each load and store: written apart from the model, to hold
 * that to. `dma_sync_*` and the maintenance below them are arch/arm64/mm/dma-mapping.c and cache.S, Linux 6.0 and later.
 */
export class Arm64 {
  readonly memory: Uint8Array
  mapped = 0
  readonly #line: number
  readonly #lines = new Map<number, Line>()

  constructor(byteLength: number, line: number) {
    this.memory = new Uint8Array(byteLength)
    this.#line = line
  }

  get view(): Uint8Array {
    const view = this.memory.slice()
    for (const [number, { data }] of this.#lines) view.set(data, number * this.#line)
    return view
  }

  store(at: number, value: number): void {
    const line = this.#load(Math.floor(at / this.#line))
    line.data[at % this.#line] = value
    line.dirty = true
  }

  begin(use: CpuUse, offset: number, length: number, hints: CacheHints): void {
    if (this.mapped > 0) this.#syncForCpu(directions[use], offset, length, hints)
    // What a program brackets it looks at.
    for (const number of this.#touched(offset, length)) this.#load(number)
  }

  end(_: CpuUse, offset: number, length: number, hints: CacheHints): void {
    if (this.mapped > 0) this.#syncForDevice(offset, length, hints)
  }

  map(hints: CacheHints): void {
    this.mapped++
    this.#syncForDevice(0, this.memory.length, hints)
  }

  unmap(direction: SyncDirection, hints: CacheHints): void {
    this.mapped--
    this.#syncForCpu(direction, 0, this.memory.length, hints)
  }

  /** One that is coherent takes its lines from the CPU, written back: WriteUnique and CleanInvalid of AMBA ACE. */
  dmaWrite(offset: number, length: number, value: number, coherent: boolean): void {
    for (const number of coherent ? this.#touched(offset, length) : []) {
      this.#clean(number)
      this.#lines.delete(number)
    }
    this.memory.fill(value, offset, offset + length)
  }

  /** `arch_sync_dma_for_cpu()`: `dcache_inval_poc`, which cleans lines that are covered in part. */
  #syncForCpu(direction: SyncDirection, offset: number, length: number, hints: CacheHints): void {
    if (direction === 'to-device' || hints.skipInvalidate === true || length === 0) return
    const end = offset + length
    if (end % this.#line !== 0) this.#clean(Math.floor(end / this.#line))
    if (offset % this.#line !== 0) this.#clean(Math.floor(offset / this.#line))
    for (const number of this.#touched(offset, length)) this.#lines.delete(number)
  }

  /** `arch_sync_dma_for_device()`: `dcache_clean_poc`, whatever the direction. */
  #syncForDevice(offset: number, length: number, hints: CacheHints): void {
    if (hints.skipClean !== true) for (const number of this.#touched(offset, length)) this.#clean(number)
  }

  #load(number: number): Line {
    let line = this.#lines.get(number)
    if (line === undefined) {
      const data = this.memory.slice(number * this.#line, (number + 1) * this.#line)
      line = { data, dirty: false }
      this.#lines.set(number, line)
    }
    return line
  }

  #clean(number: number): void {
    const line = this.#lines.get(number)
    if (line?.dirty !== true) return
    this.memory.set(line.data, number * this.#line)
    line.dirty = false
  }

  #touched(offset: number, length: number): number[] {
    const numbers = new Set<number>()
    for (let at = offset; at < offset + length; at++) numbers.add(Math.floor(at / this.#line))
    return [...numbers]
  }
}

const directions = { read: 'from-device', write: 'to-device', 'read-write': 'bidirectional' } as const
