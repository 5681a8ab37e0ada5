import { diagnostics } from '../../internal/diagnostics.ts'
import { limits } from '../../internal/limits.ts'
import type { Violation, ViolationGroup } from './violation.ts'

interface Group {
  readonly first: Violation
  count: number
}

/** The violations of one environment, those that look alike counted together. */
export class ViolationLog {
  readonly #groups = new Map<string, Group>()
  #total = 0
  #ungrouped = 0

  /** All that were recorded. */
  get total(): number {
    return this.#total
  }

  /** Those of them that are in no group, because there are as many groups as are kept. */
  get ungrouped(): number {
    return this.#ungrouped
  }

  get groups(): ViolationGroup[] {
    return Array.from(this.#groups.values(), ({ first, count }) => ({ first, count }))
  }

  add(violation: Violation): void {
    this.#total++
    const key = keyOf(violation)
    const group = this.#groups.get(key)
    if (group !== undefined) group.count++
    else if (this.#groups.size < limits.maxViolationGroups) {
      this.#groups.set(key, { first: violation, count: 1 })
    } else this.#ungrouped++
    if (diagnostics.guardViolation.hasSubscribers) diagnostics.guardViolation.publish(violation)
  }

  clear(): void {
    this.#groups.clear()
    this.#total = 0
    this.#ungrouped = 0
  }
}

function keyOf({ name, kind, bracket, thread, lastBegin, lastEnd }: Violation): string {
  return [name, kind, bracket, thread, innermost(lastBegin), innermost(lastEnd)].join('\n')
}

function innermost(frames: string | undefined): string {
  if (frames === undefined) return ''
  const end = frames.indexOf('\n')
  return end < 0 ? frames : frames.slice(0, end)
}
