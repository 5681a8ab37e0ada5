import { constants } from 'node:buffer'
import { bigInteger, bytes as bytesArgument, instance, integer } from '../internal/validate.ts'
import { coveredAt, coveredFrom, type Span } from './covered.ts'
import { Device } from './device.ts'
import { memoryOf, SgTable, type TableMemory } from './sg-table.ts'

/** Bytes looked at in one view: large buffers are more than one ArrayBuffer can show. */
const CHUNK = 1 << 28

/**
 * The DMA of a device: reads and writes memory through sg tables of that device or of a part of it, and through nothing else.
 * Offsets count the bytes of the buffer; the `…At` methods take addresses, as a device that was programmed with some.
 *
 * What real hardware answers by a bus error, an IOMMU fault or another's memory is `EFAULT` here, before any byte is moved: a
 * range that the table does not cover, an address that the device does not reach, a table of another device, a direction that
 * the table was not mapped for. The error names device, address and segment. After unmap it is `EBADF`.
 */
export class DmaEngine {
  readonly device: Device
  #transferred = 0

  /** Holds no resource. */
  constructor(device: Device) {
    this.device = instance('device', device, Device)
  }

  /** Bytes that this engine has moved; those of a copy once. */
  get transferred(): number {
    return this.#transferred
  }

  /** Copies bytes out, from `offset` to the end of the buffer when no length is given. Needs a table `'to-device'`. */
  async read(table: SgTable, offset = 0, length?: number): Promise<Uint8Array> {
    return this.#read(table, this.#from('read', table, offset, length))
  }

  /** Copies `bytes` in, from `offset` on. Needs a table `'from-device'`. */
  async write(table: SgTable, offset: number, bytes: Uint8Array): Promise<void> {
    const { length } = bytesArgument('bytes', bytes)
    this.#write(table, this.#from('write', table, offset, length), bytes)
  }

  /** As {@link read}, from an address of the table. */
  async readAt(table: SgTable, dmaAddress: bigint, length: number): Promise<Uint8Array> {
    return this.#read(table, this.#at('read', table, dmaAddress, length))
  }

  /** As {@link write}, to an address of the table. */
  async writeAt(table: SgTable, dmaAddress: bigint, bytes: Uint8Array): Promise<void> {
    const { length } = bytesArgument('bytes', bytes)
    this.#write(table, this.#at('write', table, dmaAddress, length), bytes)
  }

  /** Sets bytes to `value`, 0 to 255. Needs a table `'from-device'`. */
  async fill(table: SgTable, offset: number, length: number, value: number): Promise<void> {
    const byte = integer('value', value, 0, 255)
    this.#each('write', table, this.#from('write', table, offset, length), (bytes) => bytes.fill(byte))
  }

  /**
   * Copies from one buffer to another without going through JavaScript memory. Ranges of one buffer that overlap end up
   * mixed, as with memcpy.
   */
  async copy(
    from: SgTable,
    fromOffset: number,
    to: SgTable,
    toOffset: number,
    length: number,
  ): Promise<void> {
    const [source] = this.#from('read', from, fromOffset, length)
    const target = this.#from('write', to, toOffset, length)
    const start = source?.offset ?? 0
    this.#each('write', to, target, (bytes, done) => {
      memoryOf(from).access('read', start + done, bytes.length, (read) => bytes.set(read))
    })
  }

  #read(table: SgTable, spans: readonly Span[]): Uint8Array {
    const most = constants.MAX_LENGTH
    const length = spans.reduce((sum, span) => sum + span.length, 0)
    const out = new Uint8Array(integer('length', length, 0, most))
    this.#each('read', table, spans, (bytes, done) => out.set(bytes, done))
    return out
  }

  #write(table: SgTable, spans: readonly Span[], from: Uint8Array): void {
    this.#each('write', table, spans, (bytes, done) => bytes.set(from.subarray(done, done + bytes.length)))
  }

  /** Shows the bytes of the spans in order, in pieces; `done` counts those before. */
  #each(
    kind: Parameters<TableMemory['access']>[0],
    table: SgTable,
    spans: readonly Span[],
    use: (bytes: Uint8Array, done: number) => void,
  ): void {
    const memory = memoryOf(table)
    let done = 0
    for (const { offset, length } of spans) {
      for (let at = 0; at < length; at += CHUNK) {
        const part = Math.min(CHUNK, length - at)
        memory.access(kind, offset + at, part, (bytes) => use(bytes, done))
        done += part
        this.#transferred += part
      }
    }
  }

  #from(kind: 'read' | 'write', table: SgTable, offset: number, length: number | undefined): Span[] {
    const { byteLength } = instance('table', table, SgTable)
    const start = integer('offset', offset, 0)
    const most = Number.MAX_SAFE_INTEGER - start
    const count = integer('length', length ?? Math.max(0, byteLength - start), 0, most)
    return coveredFrom({ device: this.device, kind, table }, start, count)
  }

  #at(kind: 'read' | 'write', table: SgTable, dmaAddress: bigint, length: number): Span[] {
    const address = bigInteger('dmaAddress', dmaAddress, 0n, 2n ** 64n - 1n)
    const access = { device: this.device, kind, table: instance('table', table, SgTable) }
    return coveredAt(access, address, integer('length', length, 0))
  }
}
