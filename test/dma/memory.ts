import type { DmaDirection, Segment } from '../../src/dma/constraints.ts'
import type { Device } from '../../src/dma/device.ts'
import { entriesFor, SgTable } from '../../src/dma/sg-table.ts'
import { DmaBufError } from '../../src/index.ts'

export const PAGE = 4096

/** Physical memory of one machine, as bytes by address. */
export class Machine {
  readonly memory = new Uint8Array(64 * PAGE)

  /** The bytes of a buffer, gathered from where they are. */
  gather(segments: readonly Segment[]): Uint8Array {
    return Buffer.concat(
      segments.map(({ address, length }) => this.memory.subarray(address, address + length)),
    )
  }

  scatter(segments: readonly Segment[], bytes: Uint8Array): void {
    let at = 0
    for (const { address, length } of segments) {
      this.memory.set(bytes.subarray(at, at + length), address)
      at += length
    }
  }
}

export interface TableOptions {
  readonly direction?: DmaDirection
  readonly sgOffset?: number
  readonly byteLength?: number
}

/** A table over bytes of its own, and what was asked of it. */
export function tableOf(device: Device, segments: readonly Segment[], options: TableOptions = {}) {
  const { direction = 'bidirectional', sgOffset = 0 } = options
  const total = segments.reduce((sum, { length }) => sum + length, 0)
  const byteLength = options.byteLength ?? total - sgOffset
  const { entries, release } = entriesFor(device, segments, sgOffset, byteLength, 'buffer test')
  const bytes = Uint8Array.from({ length: byteLength }, (_, i) => i % 251)
  const state = { unmaps: 0, stale: false, accesses: [] as string[] }
  const table = new SgTable({
    device,
    direction,
    entries,
    byteLength,
    moved: false,
    generation: 1,
    memory: {
      access: (kind, offset, length, use) => {
        if (state.stale) throw new DmaBufError({ code: 'ESTALE', message: 'it moved' })
        state.accesses.push(`${kind} ${offset}+${length}`)
        use(bytes.subarray(offset, offset + length))
      },
    },
    unmap: () => {
      state.unmaps++
      release()
    },
  })
  return { table, bytes, state }
}
