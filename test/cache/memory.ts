import { CpuCache } from '../../src/memory/cache/cpu-cache.ts'
import { type CacheMemory, cacheLayout, cacheMemory, formatCache } from '../../src/memory/cache/layout.ts'
import { PlainLines } from '../../src/memory/cache/lines.ts'

export const LINE = 64

/** A non-coherent buffer in ordinary memory, as a web page would have it. */
export function plainBuffer(byteLength: number, seed?: number, lineSize = LINE): PlainBuffer {
  const layout = cacheLayout(byteLength, lineSize, 4096)
  const memory = cacheMemory(new ArrayBuffer(layout.total), layout)
  formatCache(memory.header, lineSize, seed)
  return new PlainBuffer(memory)
}

/** The CPU's and the device's side of a buffer, by the words of a program. */
export class PlainBuffer {
  readonly memory: CacheMemory
  readonly model: CpuCache

  constructor(memory: CacheMemory) {
    this.memory = memory
    this.model = new CpuCache(memory, new PlainLines(memory))
  }

  get bytes(): Uint8Array {
    return this.memory.cache.subarray(0, this.memory.layout.byteLength)
  }

  dmaWrite(offset: number, length: number, value: number, coherent = false): void {
    this.model.device('write', coherent, offset, length, (bytes) => bytes.fill(value))
  }

  dmaRead(offset: number, length: number, coherent = false): number[] {
    let read: number[] = []
    this.model.device('read', coherent, offset, length, (bytes) => {
      read = [...bytes]
    })
    return read
  }
}
