import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CacheLayout, cacheLayout, cacheMemory } from '../../src/memory/cache/layout.ts'
import { type LineOps, PlainLines } from '../../src/memory/cache/lines.ts'
import { CopiedBytes } from '../../src/memory/copied-bytes.ts'
import { allowsExternal } from '../../src/memory/external.ts'
import { type LineBytes, NativeLines } from '../../src/memory/native-lines.ts'
import { MapKind, type Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { contents, memfd, withFd } from '../support/descriptor.ts'

useCensus()

const BYTES = 9000

/** Runs with a mapping of a file that has this layout. */
async function mapped(byteLength: number, lineSize: number, use: (file: Mapping) => void) {
  const layout = cacheLayout(byteLength, lineSize, addon().pageSize)
  await withFd(memfd(layout.total), (fd) => {
    const file = addon().map(fd, 0, layout.total, MapKind.shared) as Mapping
    use(file)
    file.close()
  })
}

/** Over the mapping itself, where that may be, and by copies. */
const kindsOfAccess: ((file: Mapping, layout: CacheLayout) => LineBytes)[] = [
  (file, layout) => new CopiedBytes(layout, file, 'test'),
]
if (allowsExternal()) {
  kindsOfAccess.push((file, layout) => new PlainLines(cacheMemory(file.view() as ArrayBuffer, layout)))
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
    await mapped(BYTES, lineSize, (file) => {
      const lines = (step: { from: number; to: number }) => {
        const [first = 0, last = 0] = [step.from, step.to]
          .map((n) => n % (layout.lines + 1))
          .toSorted((a, b) => a - b)
        return [first, last] as const
      }
      const run = (ops: LineOps, program: readonly Step[]) =>
        program.map((step) => {
          if ('from' in step) return ops[step.do](...lines(step))
          const { at, bytes } = step
          ops.access(step.do === 'store' ? 'cache' : 'memory', true, at, bytes.length, (part) =>
            part.set(bytes),
          )
          return [ops.isDirty(Math.floor(at / lineSize)), ops.isPresent(Math.floor(at / lineSize))]
        })
      const native = kindsOfAccess.map(
        (others) => new NativeLines(layout, file, 'test', others(file, layout)),
      )
      fc.assert(
        fc.property(steps, (program) => {
          const plain = cacheMemory(new ArrayBuffer(layout.total), layout)
          const counts = run(new PlainLines(plain), program)
          for (const ops of native) {
            addon().copyIn(file, 0, new Uint8Array(layout.total))
            expect(run(ops, program)).toEqual(counts)
            const dirty = (lines: LineOps) =>
              Array.from({ length: layout.lines }, (_, line) => lines.isDirty(line))
            expect(dirty(ops)).toEqual(dirty(new PlainLines(plain)))
            expect(Buffer.compare(new Uint8Array(plain.cache.buffer), contents(file))).toBe(0)
          }
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
    expect([...contents(mapping).slice(96)]).toEqual([0, 1, 2, 3])
    expect(native.copyIn(mapping, 98, bytes)).toBe(-22)
    expect(native.copyIn(mapping, 100, new Uint8Array())).toBe(0)
    mapping.close()
    expect(native.copyIn(mapping, 0, bytes)).toBe(-9)
    const reading = native.map(fd, 0, 100, MapKind.sharedReadOnly) as Mapping
    expect(native.copyIn(reading, 0, bytes)).toBe(-13)
    reading.close()
  })
})
