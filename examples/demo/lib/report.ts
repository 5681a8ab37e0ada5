import type { MemoryUse } from './pss.ts'
import type { Counts } from './stage.ts'

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

export function formatBytes(bytes: number): string {
  let [amount, unit] = [bytes, 0]
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024
    unit++
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`
}

/** Lines of a table: the first column to the left, numbers to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('   '),
  )
}

export type StageReport = { name: string; counts: Counts }

export function formatStages(stages: readonly StageReport[]): string[] {
  const each = (bytes: number, { frames }: Counts) =>
    formatBytes(frames === 0 ? 0 : Math.round(bytes / frames))
  return formatTable([
    ['stage', 'frames', 'frames/s', 'copied/frame', 'file data/frame'],
    ...stages.map(({ name, counts }) => [
      name,
      String(counts.frames),
      counts.seconds > 0 ? (counts.frames / counts.seconds).toFixed(1) : '-',
      each(counts.copied, counts),
      each(counts.file, counts),
    ]),
  ])
}

export function formatMemory(names: readonly string[], memory: MemoryUse | undefined): string[] {
  if (!memory) return ['memory: not measured (the film was too short, or /proc tells nothing)']
  const mapped = memory.processes.reduce((sum, use) => sum + use.mapped, 0)
  const share = memory.processes.reduce((sum, use) => sum + use.share, 0)
  return [
    ...formatTable([
      ['process', 'sees', 'its share (PSS)'],
      ...names.map((name, at) => {
        const use = memory.processes[at]!
        return [name, formatBytes(use.mapped), formatBytes(use.share)]
      }),
      ['together', formatBytes(mapped), formatBytes(share)],
    ]),
    '',
    `${formatBytes(share)} of memory really used; ${formatBytes(mapped)} if each process had its own copy of what it sees`,
  ]
}

export function formatProgress(
  stages: readonly StageReport[],
  memory: MemoryUse | undefined,
  frames: number | null,
): string {
  const counts = stages.at(-1)!.counts
  const speed = counts.seconds > 0 ? `${(counts.frames / counts.seconds).toFixed(1)} frames/s` : 'starting'
  const share = memory?.processes.reduce((sum, use) => sum + use.share, 0)
  const used = share === undefined ? '' : `, ${formatBytes(share)} shared`
  return `frame ${counts.frames}${frames === null ? '' : ` of ${frames}`}, ${speed}${used}`
}
