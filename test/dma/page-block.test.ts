import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOCK_FRAMES, MAX_ORDER, PageBlock } from '../../src/dma/page-block.ts'
import { seededRandom } from '../../src/internal/random.ts'

/** The free chunks of a buddy allocator by its definition: free, aligned, and their buddy is not free as a whole. */
function chunksOf(free: readonly boolean[], order: number): number[] {
  const size = 2 ** order
  const whole = (start: number) => free.slice(start, start + size).every(Boolean)
  const starts: number[] = []
  for (let start = 0; start < BLOCK_FRAMES; start += size) {
    const buddy = start % (2 * size) === 0 ? start + size : start - size
    if (whole(start) && (order === MAX_ORDER || !whole(buddy))) starts.push(start)
  }
  return starts
}

const range = fc
  .tuple(fc.nat(BLOCK_FRAMES), fc.nat(BLOCK_FRAMES))
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
const stretches = fc.array(fc.tuple(fc.constantFrom('free', 'take'), range), { maxLength: 12 })
const orders = Array.from({ length: MAX_ORDER + 1 }, (_, order) => order)

test('the free chunks of a block are those that a buddy allocator would have after merging', () => {
  fc.assert(
    fc.property(stretches, fc.nat(), (changes, seed) => {
      const block = new PageBlock(3)
      const free = new Array<boolean>(BLOCK_FRAMES).fill(false)
      for (const [what, [from, to]] of changes) {
        block[what](from, to)
        free.fill(what === 'free', from, to)
      }
      const random = seededRandom(seed)
      expect(block.freeFrames).toBe(free.filter(Boolean).length)
      for (const order of orders) {
        const starts = chunksOf(free, order)
        expect(block.chunks(order)).toBe(starts.length)
        expect((block.orders >> order) & 1).toBe(Math.min(1, starts.length))
        if (starts.length === 0) continue
        expect(starts).toContain(block.pick(order, order, random))
        const first = block.pick(order, 0, random)
        expect(starts).toContain(first - (first % 2 ** order))
      }
      for (let from = 0; from <= BLOCK_FRAMES; from += 37) {
        const find = (wanted: boolean) => {
          const at = free.indexOf(wanted, from)
          return at < 0 ? BLOCK_FRAMES : at
        }
        expect([block.nextFree(from), block.nextTaken(from)]).toEqual([find(true), find(false)])
        expect(block.freeBelow(from)).toBe(free.slice(0, from).filter(Boolean).length)
      }
    }),
    { numRuns: 60 },
  )
})

test('what is held comes back, and nothing else', () => {
  const block = new PageBlock(0)
  block.free(0, 100)
  block.hold(new Int32Array(BLOCK_FRAMES / 32).fill(0x0f0f0f0f))
  expect([block.freeFrames, block.heldFrames]).toEqual([48, 52])
  block.take(4, 8)
  block.unhold()
  expect([block.freeFrames, block.heldFrames, block.nextTaken(0), block.nextFree(4)]).toEqual([96, 0, 4, 8])
})
