import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PageTables } from '../../src/dma/page-tables.ts'

/** Eight entries to a table, and three levels below the root. */
const pageSize = 64
const pages = 8 ** 4

/** Tables below the root that some page of these ranges needs, counted one by one. */
function counted(ranges: readonly (readonly [number, number])[]): number {
  const needed = new Set<string>()
  for (const [first, last] of ranges) {
    for (let page = first; page <= last; page++) {
      for (const level of [1, 2, 3]) needed.add(`${level}:${Math.floor(page / 8 ** level)}`)
    }
  }
  return needed.size
}

test('tables are counted as if each were looked at, whoever shares them', () => {
  const edges = fc.uniqueArray(fc.nat(pages - 1), { minLength: 2, maxLength: 24 })
  fc.assert(
    fc.property(edges, fc.infiniteStream(fc.nat()), (points, order) => {
      const sorted = points.toSorted((a, b) => a - b)
      const ranges = sorted.flatMap((first, i) =>
        i % 2 === 0 && i + 1 < sorted.length ? [[first, sorted[i + 1]!] as const] : [],
      )
      const tables = new PageTables(pageSize, pages, 1000)
      const live: (readonly [number, number])[] = []
      for (const range of ranges) {
        const before = tables.used
        const missing = tables.missing(...range)
        tables.enter(...range)
        live.push(range)
        expect([tables.used, tables.used - before]).toEqual([counted(live), missing])
      }
      while (live.length > 0) {
        const [gone] = live.splice(order.next().value % live.length, 1)
        tables.leave(...gone!)
        expect(tables.used).toBe(counted(live))
      }
    }),
  )
})

test('an address space that fits the root alone needs no tables', () => {
  const tables = new PageTables(4096, 512, 1)
  tables.enter(1, 511)
  expect(tables.used).toBe(0)
})
