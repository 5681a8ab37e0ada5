import { expect, test } from 'vitest'
import { DmaBuf, DmaBufError, type ExportableMemory, vmemexp } from '../../src/index.ts'
import type { Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { blocks, bytesOf, filledWith } from '../support/blocks.ts'
import { useCensus } from '../support/census.ts'
import { collect } from '../support/until.ts'

/** How long; by default only so many steps that a test run does not notice. The sanitizer's run takes a minute. */
const seconds = Number(process.env['DMABUF_STRESS_SECONDS'] ?? 0)
const STEPS = 400
const CANARY = Buffer.from('what only this program may know')

useCensus()

/** A block of memory, filled with one value, and what is exported of it. */
interface Item {
  memory: ExportableMemory
  value: number
  readonly buffers: DmaBuf[]
  /** It was taken away while it was exported, by means of which nobody is told. */
  taken: boolean
}

class Stress {
  readonly #items: Item[] = []
  /** What a hostile importer keeps: mappings of whole files, for ever. */
  readonly #files: Mapping[] = []
  readonly #makers = Object.values(blocks)
  exports = 0
  #anyTaken = false
  #seed: number

  constructor(seed: number) {
    this.#seed = seed
  }

  async step(): Promise<void> {
    const steps = [
      () => this.#make(),
      () => this.#export(),
      () => this.#export(),
      () => this.#export(),
      () => this.#store(),
      () => this.#store(),
      () => this.#closeOne(),
      () => this.#closeOne(),
      () => this.#transfer(),
      () => this.#resize(),
      () => this.#drop(),
      () => this.#reallocate(),
    ]
    await steps[this.#below(steps.length)]?.()
    if (this.#below(20) === 0) collect()
    await new Promise(setImmediate)
  }

  end(): void {
    for (const { buffers } of this.#items.splice(0)) for (const buffer of buffers) buffer.close()
    this.hunt()
    for (const file of this.#files.splice(0)) file.close()
  }

  /** Nothing that was stored outside an export is in any file that was ever exported. */
  hunt(): void {
    for (const file of this.#files) {
      expect(Buffer.from(file.view() as ArrayBuffer).includes(CANARY)).toBe(false)
    }
  }

  #make(): void {
    if (this.#items.length >= 12) return this.#drop()
    // The large ones, which malloc maps, take longer than all others together.
    const maker = this.#makers[this.#below(this.#below(4) === 0 ? this.#makers.length : 6)]
    if (maker === undefined) return
    const item: Item = { memory: maker(), value: 1 + this.#below(200), buffers: [], taken: false }
    bytesOf(item.memory).fill(item.value)
    this.#items.push(item)
  }

  async #export(): Promise<void> {
    const item = this.#item()
    if (item === undefined) return
    const whole = bytesOf(item.memory)
    const part = this.#below(2) === 0 && (ArrayBuffer.isView(item.memory) || !('buffer' in item.memory))
    const from = part ? this.#below(whole.length) : 0
    const view = part ? whole.subarray(from, from + this.#below(whole.length - from)) : item.memory
    try {
      const buffer = await vmemexp.export(view, { lock: false })
      item.buffers.push(buffer)
      this.exports++
      if (this.#files.length < 8 && this.#below(4) === 0) this.#keep(buffer)
      buffer.withCpuAccessSync('read', (cpu) => expect(filledWith(cpu.bytes, item.value)).toBe(true))
    } catch (error) {
      // Too small a part, or one that overlaps another; and under a sanitizer malloc is not glibc's.
      // What was taken away still lies in the file of its old export with some of its pages, and so does what is
      // allocated there after it was freed.
      const expected = this.#anyTaken ? ['EINVAL', 'EBUSY', 'EFAULT'] : ['EINVAL', 'EBUSY']
      if (!(error instanceof DmaBufError) || !expected.includes(error.code)) throw error
    }
  }

  #keep(buffer: DmaBuf): void {
    const file = DmaBuf.fromFd(buffer.fd)
    const mapping = addon().map(file.fd, 0, file.byteLength, 0)
    file.close()
    if (typeof mapping !== 'number') this.#files.push(mapping)
  }

  #store(): void {
    const item = this.#item()
    if (item === undefined) return
    item.value = 1 + this.#below(200)
    bytesOf(item.memory).fill(item.value)
    for (const buffer of item.buffers) {
      // The first bracket that begins brings every side page of its export in step.
      buffer.withCpuAccessSync('read', (cpu) => expect(filledWith(cpu.bytes, item.value)).toBe(true))
    }
  }

  #closeOne(): void {
    const item = this.#item()
    if (item === undefined) return
    item.buffers.splice(this.#below(item.buffers.length), 1)[0]?.close()
    const bytes = bytesOf(item.memory)
    expect(filledWith(bytes, item.value)).toBe(true)
    if (item.buffers.length > 0 || item.taken) return
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).fill(CANARY)
    this.hunt()
    bytes.fill(item.value)
  }

  #transfer(): void {
    const item = this.#item()
    if (!(item?.memory instanceof ArrayBuffer)) return
    const { memory } = item
    try {
      item.memory =
        'transfer' in memory && this.#below(2) === 0
          ? (memory as unknown as { transfer(): ArrayBuffer }).transfer()
          : structuredClone(memory, { transfer: [memory] })
    } catch {
      // Node refuses to transfer the memory of others, `vmemexp.allocate` included.
      return
    }
    if (item.buffers.length > 0) {
      item.taken = true
      this.#anyTaken = true
    }
    // Copied: a resizable block, or one that Node 20 does not transfer. Its exports go on without it.
    const alone = item.buffers.splice(0)
    bytesOf(item.memory).fill(item.value)
    for (const buffer of alone) buffer.close()
  }

  #resize(): void {
    const item = this.#item()
    const memory = item?.memory as {
      resizable?: boolean
      maxByteLength?: number
      resize?(bytes: number): void
    }
    if (item === undefined || memory.resizable !== true || item.buffers.length > 0) return
    memory.resize?.(1 + this.#below(memory.maxByteLength ?? 1))
    bytesOf(item.memory).fill(item.value)
  }

  #drop(): void {
    const item = this.#items.splice(this.#below(this.#items.length), 1)[0]
    if (item === undefined) return
    // Or the exports are left to the collector, with the memory.
    if (this.#below(2) === 0) for (const buffer of item.buffers) buffer.close()
  }

  #reallocate(): void {
    const secrets = Array.from({ length: 20 }, () => Buffer.allocUnsafeSlow(50_000).fill(CANARY))
    expect(secrets.length).toBe(20)
    this.hunt()
  }

  #item(): Item | undefined {
    return this.#items[this.#below(this.#items.length)]
  }

  /** mulberry32: the same steps again for the same seed. */
  #below(end: number): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end)
  }
}

test('memory is exported, collected, reallocated, transferred and freed at random, and nothing is lost or told', {
  timeout: seconds * 1000 + 120_000,
}, async () => {
  const seed = seconds === 0 ? 4711 : Date.now() | 0
  const stress = new Stress(seed)
  const end = performance.now() + seconds * 1000
  let steps = 0
  try {
    while (steps++ < STEPS || performance.now() < end) await stress.step()
    stress.end()
  } catch (error) {
    throw new Error(`with seed ${seed}, at step ${steps}`, { cause: error })
  }
})
