import type { MappedFile } from './proc-text.ts'

/** One descriptor of one process that is a buffer. */
export interface SeenDescriptor {
  readonly kind: 'memfd' | 'dma-buf'
  readonly name: string
  readonly device: string
  readonly inode: string
  readonly byteLength: number
}

/** What was found of one process. */
export interface SeenProcess {
  readonly pid: number
  readonly comm: string
  readonly descriptors: readonly SeenDescriptor[]
  readonly mappings: readonly MappedFile[]
}

/** One process that holds a buffer. */
export interface BufferUser {
  readonly pid: number
  readonly comm: string
  readonly descriptors: number
  readonly mappings: number
  /** Its share of the memory, in bytes; `null` where it maps none or may not be asked. */
  readonly pss: number | null
}

/** One buffer of this machine: the same device and inode are the same memory. */
export interface BufferRow {
  readonly name: string
  readonly kind: 'memfd' | 'dma-buf'
  readonly device: string
  readonly inode: string
  /** Of the storage: whole pages. Where nobody's descriptor can be read, how far it is mapped. */
  readonly byteLength: number
  readonly users: readonly BufferUser[]
}

type Draft = Omit<BufferRow, 'users'> & { byteLength: number; users: Map<number, BufferUser> }

/** Groups by device and inode; the largest first. */
export function groupBuffers(processes: readonly SeenProcess[]): BufferRow[] {
  const drafts = new Map<string, Draft>()
  const draftOf = ({ kind, name, device, inode }: SeenDescriptor | MappedFile): Draft => {
    const key = `${device} ${inode}`
    const known = drafts.get(key)
    if (known !== undefined) return known
    const draft = { name, kind, device, inode, byteLength: 0, users: new Map<number, BufferUser>() }
    drafts.set(key, draft)
    return draft
  }
  for (const { pid, comm, descriptors, mappings } of processes) {
    const nothing = { pid, comm, descriptors: 0, mappings: 0, pss: null }
    for (const seen of descriptors) {
      const draft = draftOf(seen)
      const user = draft.users.get(pid) ?? nothing
      draft.byteLength = Math.max(draft.byteLength, seen.byteLength)
      draft.users.set(pid, { ...user, descriptors: user.descriptors + 1 })
    }
    for (const seen of mappings) {
      const draft = draftOf(seen)
      const user = draft.users.get(pid) ?? nothing
      draft.byteLength = Math.max(draft.byteLength, seen.offset + seen.byteLength)
      const pss = seen.pss === undefined ? user.pss : (user.pss ?? 0) + seen.pss
      draft.users.set(pid, { ...user, mappings: user.mappings + 1, pss })
    }
  }
  return Array.from(drafts.values(), ({ users, ...row }) => ({ ...row, users: [...users.values()] })).sort(
    (a, b) => b.byteLength - a.byteLength || Number(a.inode) - Number(b.inode),
  )
}

/** A table for people: each buffer, and below it who has it. */
export function formatTable(rows: readonly BufferRow[], unreadable: number): string {
  const lines = [cells('BUFFER / PROCESS', 'SIZE', 'PSS', 'FDS', 'MAPS', 'INODE')]
  for (const row of rows) {
    const label = row.kind === 'dma-buf' ? `${printable(row.name)} (dma-buf)` : printable(row.name)
    lines.push(cells(label || '(unnamed)', size(row.byteLength), '', '', '', row.inode))
    for (const { pid, comm, descriptors, mappings, pss } of row.users) {
      lines.push(
        cells(`  ${pid} ${printable(comm)}`, '', pss === null ? '-' : size(pss), descriptors, mappings, ''),
      )
    }
  }
  const total = rows.reduce((sum, row) => sum + row.byteLength, 0)
  lines.push(`${rows.length} ${rows.length === 1 ? 'buffer' : 'buffers'}, ${size(total)}`)
  if (unreadable > 0) lines.push(`${unreadable} processes of others could not be looked into`)
  return lines.join('\n')
}

function cells(label: string, ...rest: (string | number)[]): string {
  const widths = [10, 10, 5, 5, 12]
  return [label.padEnd(36), ...rest.map((cell, index) => String(cell).padStart(widths[index] ?? 0))]
    .join(' ')
    .trimEnd()
}

/** A name is another process's choice, and must not reach the terminal as commands. */
export function printable(name: string): string {
  return name.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}
