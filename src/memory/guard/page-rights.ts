import { PageRight, Right } from '../../native/addon.ts'

/** An open bracket, as bytes of its buffer. */
export interface OpenRange {
  readonly access: 'read' | 'write' | 'read-write'
  readonly offset: number
  readonly length: number
}

/** Where the pages of a mapping lie in its buffer. */
export interface PageLayout {
  /** Byte of the buffer at which the mapping begins, and how many it shows. */
  readonly offset: number
  readonly byteLength: number
  /** Bytes of its first page that lie before that. */
  readonly lead: number
  /** Bytes of a page. */
  readonly page: number
}

/**
 * What the open brackets allow of the pages of a mapping: whole pages, each with the most that any bracket on it allows.
 * Ascending, not overlapping, neighbours with equal rights as one. Returns the numbers that `Mapping.allow` takes.
 */
export function pageRights(brackets: Iterable<OpenRange>, layout: PageLayout): Float64Array {
  const pages = [...brackets].flatMap((bracket) => pagesOf(bracket, layout))
  const [only] = pages
  if (only === undefined) return nothing
  if (pages.length === 1) return Float64Array.of(only.first, only.end - only.first, only.right)
  const edges = [...new Set(pages.flatMap(({ first, end }) => [first, end]))].sort((a, b) => a - b)
  const parts: number[] = []
  edges.forEach((from, at) => {
    const until = edges[at + 1]
    if (until === undefined) return
    const covering = pages.filter(({ first, end }) => first <= from && end >= until)
    const right = Math.max(Right.none, ...covering.map((each) => each.right))
    if (right !== Right.none) append(parts, from, until - from, right)
  })
  return Float64Array.from(parts)
}

const nothing = new Float64Array()

function pagesOf({ access, offset, length }: OpenRange, layout: PageLayout) {
  const { lead, page } = layout
  const from = Math.max(offset, layout.offset) - layout.offset + lead
  const until = Math.min(offset + length, layout.offset + layout.byteLength) - layout.offset + lead
  if (until <= from) return []
  const first = Math.floor(from / page) * page
  const end = Math.ceil(until / page) * page
  return [{ first, end, right: access === 'read' ? Right.read : Right.write }]
}

function append(parts: number[], offset: number, length: number, right: number): void {
  const last = parts.length - PageRight.words
  const lastEnd = (parts[last] ?? -1) + (parts[last + PageRight.length] ?? 0)
  if (last >= 0 && lastEnd === offset && parts[last + PageRight.right] === right) {
    parts[last + PageRight.length] = (parts[last + PageRight.length] ?? 0) + length
  } else parts.push(offset, length, right)
}
