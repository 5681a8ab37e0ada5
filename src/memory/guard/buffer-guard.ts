import { problem } from '../../internal/errors.ts'
import { type Mapping, PageRight } from '../../native/addon.ts'
import { guardPolicy } from './guard-policy.ts'
import { checkGuarded, enroll, leave, record, type Touch, takeViolations } from './guarded-environment.ts'
import { type OpenRange, type PageLayout, pageRights } from './page-rights.ts'
import { framesOf, type Site, site } from './stacks.ts'
import { describeViolation, type GuardMode, type Violation } from './violation.ts'

/** The buffer whose mappings are guarded. */
export interface GuardedBuffer {
  readonly id: number
  readonly name: string
  readonly role: 'exporter' | 'holder'
  readonly storage: { readonly offset: number }
}

/** A bracket as its guard knows it. It holds nothing that would keep the buffer open. */
export interface GuardedBracket extends OpenRange {
  /** Whose brackets end together. */
  readonly owner: object
  readonly begun: Site | undefined
}

interface Cover {
  readonly token: number
  readonly layout: PageLayout
}

/**
 * One inner buffer in guarded mode: its pages are out of reach outside brackets, read-only in read brackets. What the CPU
 * touches all the same is recorded by the fault handler, which opens the buffer until its next bracket or turn of the loop.
 */
export class BufferGuard {
  mode: GuardMode
  readonly #buffer: GuardedBuffer
  readonly #covers = new Map<Mapping, Cover>()
  readonly #brackets = new Set<GuardedBracket>()
  /** Brackets that are older than the guard: as long as there are any, everything may be touched. */
  #before: number
  #lastBegin: Site | undefined
  #lastEnd: Site | undefined
  #thrown: Violation | undefined
  #violations = 0

  constructor(buffer: GuardedBuffer, mode: GuardMode, openBrackets: number) {
    this.#buffer = buffer
    this.#before = openBrackets
    this.mode = mode
  }

  /** How many there were. */
  get violations(): number {
    return this.#violations
  }

  // ---- mappings ---------------------------------------------------------------------------------------------

  /** A mapping that JavaScript can see, and where it begins in the buffer. */
  cover(mapping: Mapping, offset: number): void {
    const token = enroll({
      violated: (touch) => this.#violated(touch, offset),
      restrict: this.#restrict,
      giveUp: () => this.off(),
    })
    const page = mapping.guard(token)
    if (page <= 0) {
      leave(token)
      checkGuarded(page)
      return
    }
    const lead = (this.#buffer.storage.offset + offset) % page
    this.#covers.set(mapping, { token, layout: { offset, byteLength: mapping.byteLength, lead, page } })
    if (this.#brackets.size > 0 || this.#before > 0) this.#restrict()
  }

  /** Before it is closed. */
  uncover(mapping: Mapping): void {
    const cover = this.#covers.get(mapping)
    if (cover === undefined) return
    this.#covers.delete(mapping)
    leave(cover.token)
  }

  /** The memory is as free to touch as without a guard. */
  off(): void {
    for (const mapping of [...this.#covers.keys()]) {
      mapping.unguard()
      this.uncover(mapping)
    }
  }

  // ---- brackets ---------------------------------------------------------------------------------------------

  /** Throws what the last violation is to be thrown as, once. */
  check(): void {
    takeViolations('bracket')
    const violation = this.#thrown
    if (violation === undefined) return
    this.#thrown = undefined
    throw problem('guardViolation', { what: describeViolation(violation) }, { cause: violation })
  }

  begin(range: OpenRange, owner: object): GuardedBracket {
    takeViolations('bracket')
    const begun = guardPolicy().stacks ? site() : undefined
    const { access, offset, length } = range
    const bracket = { access, offset, length, owner, begun }
    this.#brackets.add(bracket)
    this.#lastBegin = begun
    this.#restrict()
    return bracket
  }

  /** Without a bracket, or with that of an earlier guard: one that was begun before this one. */
  end(bracket: GuardedBracket | undefined): void {
    takeViolations('bracket')
    if (bracket === undefined || !this.#brackets.delete(bracket)) this.#endBefore(1)
    this.#lastEnd = guardPolicy().stacks ? site() : undefined
    this.#restrict()
  }

  /** Ends what one owner has left open, so many brackets. Returns where they were begun. */
  endAll(owner: object, open: number): string[] {
    takeViolations('turn')
    const left = [...this.#brackets].filter((bracket) => bracket.owner === owner)
    this.#endBefore(open - left.length)
    for (const bracket of left) this.#brackets.delete(bracket)
    this.#restrict()
    return left.flatMap(({ begun }) => framesOf(begun) ?? [])
  }

  #endBefore(count: number): void {
    this.#before = Math.max(0, this.#before - count)
  }

  readonly #restrict = (): void => {
    for (const [mapping, { layout }] of this.#covers) {
      const open = this.#before > 0 ? [everything] : this.#brackets
      const parts = pageRights(open, layout)
      checkGuarded(mapping.allow(parts, parts.length / PageRight.words))
    }
  }

  // ---- violations -------------------------------------------------------------------------------------------

  #violated(touch: Touch, base: number): void {
    const { id, name, role } = this.#buffer
    const offset = base + touch.offset
    const brackets = [...this.#brackets]
    const violation: Violation = {
      ...{ id, name, role, ...touch, offset, bracket: stateAt(offset, brackets) },
      brackets: brackets.map(({ access, offset, length }) => ({ access, offset, length })),
      lastBegin: framesOf(this.#lastBegin),
      lastEnd: framesOf(this.#lastEnd),
    }
    this.#violations++
    if (this.mode === 'throw') this.#thrown ??= violation
    record(violation, this.mode === 'fatal')
  }
}

const everything: OpenRange = { access: 'read-write', offset: 0, length: Number.MAX_SAFE_INTEGER }

function stateAt(offset: number, brackets: readonly OpenRange[]): Violation['bracket'] {
  if (brackets.length === 0) return 'none'
  const covers = (range: OpenRange) => offset >= range.offset && offset < range.offset + range.length
  const covering = brackets.filter(covers)
  if (covering.length === 0) return 'elsewhere'
  // One that allows writing was begun only after another thread had touched the memory.
  return covering.every(({ access }) => access === 'read') ? 'read' : 'none'
}
