/** A plain-text table: the first column to the left, numbers to the right, two spaces between. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]) =>
    head
      .map((_, i) => (i === 0 ? (cells[i] ?? '').padEnd(widths[i]!) : (cells[i] ?? '').padStart(widths[i]!)))
      .join('  ')
      .trimEnd()
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}

/** Three significant digits, and thousands apart: 0.0123, 4.56, 789, 12 300. */
export function figure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '-'
  const rounded = Number(value.toPrecision(3))
  if (Math.abs(rounded) >= 1000) return String(rounded).replace(/\B(?=(\d{3})+$)/g, ' ')
  if (rounded === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))))
  return rounded.toFixed(Math.min(digits, 6))
}

/** 64 B, 16 KiB, 8 MiB; 4K RGBA frames are not round and get one decimal. */
export function bytes(size: number): string {
  if (size < 1024) return `${size} B`
  const [value, unit] = size < 1 << 20 ? [size / 1024, 'KiB'] : [size / (1 << 20), 'MiB']
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${unit}`
}
