import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cacheLayout, cacheMemory } from '../../src/memory/cache/layout.ts'
import { type LineOps, PlainLines } from '../../src/memory/cache/lines.ts'
import { NativeLines } from '../../src/memory/native-lines.ts'
import { MapKind, type Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { memfd, withFd } from '../support/descriptor.ts'

useCensus()

const BYTES = 9000

/** Runs with a mapping of a file that has this layout. */
async function mapped(byteLength: number, lineSize: number, use: (file: Mapping, view: ArrayBuffer) => void) {
  const layout = cacheLayout(byteLength, lineSize, addon().pageSize)
  await withFd(memfd(layout.total), (fd) => {
    const file = addon().map(fd, 0, layout.total, MapKind.shared) as Mapping
    use(file, file.view() as ArrayBuffer)
    file.close()
  })
}

type Step =
  | { readonly do: 'store' | 'dma'; readonly at: number; readonly bytes: readonly number[] }
  | {
      readonly do: 'clean' | 'evict' | 'invalidate' | 'touch' | 'show'
      readonly from: number
      readonly to: number
    }

const range = { from: fc.nat(1000), to: fc.nat(1000) }
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constantFrom('store', 'dma'),
      at: fc.nat(BYTES - 9),
      bytes: fc.array(fc.nat(3), { minLength: 1, maxLength: 8 }),
    }),
    fc.record({ do: fc.constantFrom('clean', 'evict', 'invalidate', 'touch', 'show'), ...range }),
  ),
  { maxLength: 40 },
)

test('native line operations do what the plain ones do', async () => {
  for (const lineSize of [16, 64, 4096]) {
    const layout = cacheLayout(BYTES, lineSize, addon().pageSize)
    await mapped(BYTES, lineSize, (file, view) => {
      const native = cacheMemory(view, layout)
      const lines = (step: { from: number; to: number }) => {
        const [first = 0, last = 0] = [step.from, step.to]
          .map((n) => n % (layout.lines + 1))
          .toSorted((a, b) => a - b)
        return [first, last] as const
      }
      const run = (ops: LineOps, memory: typeof native, program: readonly Step[]) => {
        new Uint8Array(memory.cache.buffer).fill(0)
        return program.map((step) => {
          if (step.do === 'store') return memory.cache.set(step.bytes, step.at)
          if (step.do === 'dma') return memory.memory.set(step.bytes, step.at)
          return 'from' in step && ops[step.do](...lines(step))
        })
      }
      fc.assert(
        fc.property(steps, (program) => {
          const plain = cacheMemory(new ArrayBuffer(layout.total), layout)
          const counts = run(new PlainLines(plain), plain, program)
          expect(run(new NativeLines(native, file, 'test'), native, program)).toEqual(counts)
          expect(Buffer.compare(new Uint8Array(plain.cache.buffer), new Uint8Array(view))).toBe(0)
          const dirty = (ops: LineOps) => Array.from({ length: layout.lines }, (_, line) => ops.isDirty(line))
          expect(dirty(new NativeLines(native, file, 'test'))).toEqual(dirty(new PlainLines(plain)))
        }),
        { numRuns: 60 },
      )
    })
  }
})

test('a layout that the mapping does not hold is refused', async () => {
  await mapped(4096, 64, (file) => {
    const { cleanLines } = addon()
    const page = addon().pageSize
    expect(cleanLines(file, page, 64, 0, page / 64)).toBe(0)
    for (const [region, line, first, last] of [
      [page, 64, 0, page / 64 + 1],
      [page, 64, 2, 1],
      [page, 48, 0, 1],
      [page, 8, 0, 1],
      [page, 8192, 0, 1],
      [page + 64, 64, 0, 1],
      [page * 2, 64, 0, 1],
    ] as const) {
      expect(cleanLines(file, region, line, first, last)).toBe(-22)
    }
  })
  expect(() => addon().cleanLines({} as Mapping, 4096, 64, 0, 1)).toThrow(TypeError)
})

test('bytes are copied into a mapping, and never beyond its end', async () => {
  await withFd(memfd(4096), (fd) => {
    const native = addon()
    const mapping = native.map(fd, 0, 100, MapKind.shared) as Mapping
    const bytes = Uint8Array.of(1, 2, 3)
    expect(native.copyIn(mapping, 97, bytes)).toBe(0)
    expect([...new Uint8Array(mapping.view() as ArrayBuffer).slice(96)]).toEqual([0, 1, 2, 3])
    expect(native.copyIn(mapping, 98, bytes)).toBe(-22)
    expect(native.copyIn(mapping, 100, new Uint8Array())).toBe(0)
    mapping.close()
    expect(native.copyIn(mapping, 0, bytes)).toBe(-9)
    const reading = native.map(fd, 0, 100, MapKind.sharedReadOnly) as Mapping
    expect(native.copyIn(reading, 0, bytes)).toBe(-13)
    reading.close()
  })
})
