import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Segment, unconstrained } from '../../src/dma/constraints.ts'
import { fitSegments, joined } from '../../src/dma/fit.ts'
import { Iommu } from '../../src/dma/iommu.ts'
import { root } from './samples.ts'

/** Addresses and lengths of a row of a picture, in the order in which they are written. */
function row(words: readonly string[], from: string, to?: string): string {
  const start = words.findIndex((word) => word.startsWith(from))
  const end = to === undefined ? words.length : words.findIndex((word) => word.startsWith(to))
  return words.slice(start, end).join(' ')
}

const shown = (segments: readonly Segment[] | { rule: string }) =>
  'rule' in segments
    ? [segments.rule]
    : segments.map(({ address, length }) => [`0x${address.toString(16).padStart(6, '0')}`, `+${length}`])

test('the picture of a table shows what becomes of these pages', () => {
  const svg = readFileSync(join(root, 'docs/pictures/sg-table.svg'), 'utf8')
  const words = Array.from(svg.matchAll(/<text[^>]*>([^<]*)</g), ([, text = '']) => text)
  const addresses = row(words, 'page by page', 'byte 0').match(/0x[0-9a-f]+/g) ?? []
  const pages = addresses.map((address) => ({ address: Number(address), length: 4096 }))
  expect(pages.length).toBe(9)
  // Where a box is too small the length stands below it, after the next address.
  const sorted = (text: string) => (text.match(/0x[0-9a-f]+(?!n)|\+\d+/g) ?? []).sort()
  const drawn = (from: string, to: string) => sorted(row(words, from, to))
  expect(drawn('joined', 'split for')).toEqual(shown(joined(pages)).flat().sort())
  const constraints = { ...unconstrained, maxSegmentSize: 12_288, segmentBoundaryMask: 0xffffn }
  expect(drawn('split for', 'maxSegmentSize')).toEqual(shown(fitSegments(pages, constraints)).flat().sort())
  expect(words).toContain('segmentBoundaryMask: 0xffffn')
  const { runs } = new Iommu().map(pages, { name: 'any', constraints: unconstrained })
  expect(drawn('an IOMMU', 'its page tables')).toEqual(shown(runs).flat().sort())
})
