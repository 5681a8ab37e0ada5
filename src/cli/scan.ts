import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { SeenDescriptor, SeenProcess } from './buffer-table.ts'
import { deviceName, type MappedFile, parseLink, parseMaps } from './proc-text.ts'

export interface Scan {
  readonly processes: readonly SeenProcess[]
  /** Processes of other users, whose descriptors and mappings this user may not see. */
  readonly unreadable: number
}

/** Looks through every process that this user may look into. Processes come and go meanwhile: what is gone is left out. */
export function scanProcesses(): Scan {
  const processes: SeenProcess[] = []
  let unreadable = 0
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const fds = attempt(() => readdirSync(`/proc/${entry}/fd`))
    if (fds === undefined) {
      if (attempt(() => statSync(`/proc/${entry}`)) !== undefined) unreadable++
      continue
    }
    const descriptors = fds.flatMap((fd) => descriptorOf(`/proc/${entry}/fd/${fd}`) ?? [])
    const mappings = mappingsOf(entry)
    if (descriptors.length === 0 && mappings.length === 0) continue
    const comm = attempt(() => readFileSync(`/proc/${entry}/comm`, 'utf8').trimEnd()) ?? '?'
    processes.push({ pid: Number(entry), comm, descriptors, mappings })
  }
  return { processes, unreadable }
}

/** Only memory is asked for its size: to ask any other file could hang at a file system that does not answer. */
function descriptorOf(path: string): SeenDescriptor | undefined {
  const link = attempt(() => parseLink(readlinkSync(path)))
  if (link === undefined) return undefined
  const stat = attempt(() => statSync(path, { bigint: true }))
  if (stat === undefined) return undefined
  return { ...link, device: deviceName(stat.dev), inode: String(stat.ino), byteLength: Number(stat.size) }
}

/** smaps knows each mapping's share but takes the kernel long: it is read only of processes that map a buffer. */
function mappingsOf(pid: string): MappedFile[] {
  const mapped = parseMaps(attempt(() => readFileSync(`/proc/${pid}/maps`, 'utf8')) ?? '')
  if (mapped.length === 0) return mapped
  const shares = attempt(() => readFileSync(`/proc/${pid}/smaps`, 'utf8'))
  return shares === undefined ? mapped : parseMaps(shares)
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
