import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type OpenRange, type PageLayout, pageRights } from '../../src/memory/guard/page-rights.ts'
import { PageRight, Right } from '../../src/native/addon.ts'

const whole: PageLayout = { offset: 0, byteLength: 10_000, lead: 0, page: 4096 }

test('without brackets nothing is allowed', () => {
  expect([...pageRights([], whole)]).toEqual([])
})

test('a bracket of the whole buffer allows all of its pages', () => {
  expect([...pageRights([{ access: 'read', offset: 0, length: 10_000 }], whole)]).toEqual([0, 12_288, 1])
})

test('a bracket of a range allows the pages that it lies on, and one of no bytes none', () => {
  expect([...pageRights([{ access: 'write', offset: 5000, length: 1 }], whole)]).toEqual([4096, 4096, 2])
  expect([...pageRights([{ access: 'write', offset: 5000, length: 0 }], whole)]).toEqual([])
})

/** The same by looking at every page for itself. */
function byPage(brackets: readonly OpenRange[], { offset, byteLength, lead, page }: PageLayout): number[] {
  const pages = Math.ceil((lead + byteLength) / page)
  return Array.from({ length: pages }, (_, index) => {
    const from = Math.max(index * page - lead, 0) + offset
    const until = Math.min((index + 1) * page - lead, byteLength) + offset
    const touching = brackets.filter((each) => {
      return each.length > 0 && each.offset < until && each.offset + each.length > from
    })
    if (touching.length === 0) return Right.none
    return touching.some(({ access }) => access !== 'read') ? Right.write : Right.read
  })
}

function expand(parts: Float64Array, pages: number, page: number): number[] {
  const rights = new Array<number>(pages).fill(Right.none)
  for (let base = 0; base < parts.length; base += PageRight.words) {
    const first = (parts[base] ?? 0) / page
    rights.fill(parts[base + 2] ?? 0, first, first + (parts[base + 1] ?? 0) / page)
  }
  return rights
}

test('each page has the most that any bracket on it allows, in ascending parts', () => {
  const byteLength = 40_000
  const access = fc.constantFrom('read', 'write', 'read-write')
  const bracket = fc
    .record({ access, offset: fc.nat(60_000), length: fc.nat(20_000) })
    .map((each): OpenRange => each as OpenRange)
  const layout = fc.record({
    offset: fc.nat(20_000),
    byteLength: fc.integer({ min: 1, max: byteLength }),
    lead: fc.nat(4095),
    page: fc.constant(4096),
  })
  fc.assert(
    fc.property(fc.array(bracket, { maxLength: 6 }), layout, (brackets, place) => {
      const parts = pageRights(brackets, place)
      const expected = byPage(brackets, place)
      expect(expand(parts, expected.length, place.page)).toEqual(expected)
      for (let base = 3; base < parts.length; base += 3) {
        const end = (parts[base - 3] ?? 0) + (parts[base - 2] ?? 0)
        expect(parts[base]).toBeGreaterThanOrEqual(end)
        expect(parts[base] === end && parts[base + 2] === parts[base - 1]).toBe(false)
      }
    }),
  )
})
