import { describeViolation, type ViolationGroup } from './violation.ts'

export interface ReportInput {
  readonly pid: number
  readonly thread: string
  readonly groups: readonly ViolationGroup[]
  readonly total: number
  readonly ungrouped: number
  /** Not recorded, because too many came between two looks. */
  readonly lost: number
}

/** What is listed when the environment ends, as sanitizers do it: the most frequent first. */
export function violationReport(input: ReportInput): string {
  const { pid, thread, groups, total, ungrouped, lost } = input
  const head = `==${pid}== dmabuf guard: ${counted(total, 'violation')} of CPU access brackets`
  const lines = [thread === 'main' ? head : `${head} (${thread})`]
  const sorted = [...groups].sort((a, b) => b.count - a.count)
  for (const [index, group] of sorted.entries()) lines.push('', ...groupLines(group, index + 1))
  if (ungrouped > 0) lines.push('', `${counted(ungrouped, 'violation')} of further kinds`)
  if (lost > 0) lines.push('', `${lost} more at once than could be recorded`)
  const buffers = new Set(groups.map(({ first }) => first.name)).size
  lines.push('', `SUMMARY: dmabuf guard: ${counted(total, 'violation')}, ${counted(buffers, 'buffer')}`)
  return `${lines.join('\n')}\n`
}

function groupLines({ first, count }: ViolationGroup, number: number): string[] {
  const { role, thread, lastBegin, lastEnd, approximateStack } = first
  const times = count === 1 ? '' : `, ${count} times, first`
  return [
    `#${number} ${describeViolation(first)}${times} by ${whose(thread)}, ${role}`,
    ...placeLines('last begin', lastBegin ?? 'none'),
    ...placeLines('last end', lastEnd ?? 'none'),
    ...placeLines('noticed (approximate)', approximateStack ?? 'at the end of the turn'),
  ]
}

function whose(thread: string): string {
  if (thread === 'main') return 'the main thread'
  return thread === 'native thread' ? 'a native thread' : thread
}

function placeLines(title: string, frames: string): string[] {
  const [head, ...others] = frames.split('\n')
  return [`    ${title}: ${head}`, ...others.slice(0, 3).map((line) => `        ${line}`)]
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
