import { readFile } from 'node:fs/promises'

/** One shared memory file as one process has it mapped, in bytes. */
export type SharedMapping = {
  inode: string
  /** Bytes of it that this process can reach: what an own copy would take. */
  mapped: number
  /** Bytes that this process has touched. */
  resident: number
  /** The kernel's proportional set size: every page divided by the number of processes that map it. */
  share: number
}

const regionStart = /^[0-9a-f]+-[0-9a-f]+ \S{4} [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+) +(.*)$/
const field = /^(Size|Rss|Pss): +(\d+) kB$/

/** Sums the mappings of memory files (memfds) in the text of `/proc/PID/smaps`. */
export function parseSmaps(text: string): SharedMapping[] {
  const found = new Map<string, SharedMapping>()
  let current: SharedMapping | undefined
  for (const line of text.split('\n')) {
    const start = regionStart.exec(line)
    if (start) {
      const [, inode = '', path = ''] = start
      current = undefined
      if (path.startsWith('/memfd:')) {
        current = found.get(inode) ?? { inode, mapped: 0, resident: 0, share: 0 }
        found.set(inode, current)
      }
    } else if (current) {
      const [, name, kilobytes] = field.exec(line) ?? []
      const bytes = Number(kilobytes) * 1024
      // A file mapped twice is there once; only the shares of both mappings add up.
      if (name === 'Size') current.mapped = Math.max(current.mapped, bytes)
      if (name === 'Rss') current.resident = Math.max(current.resident, bytes)
      if (name === 'Pss') current.share += bytes
    }
  }
  return [...found.values()]
}

export type MemoryUse = { processes: { mapped: number; share: number }[]; buffers: number }

/**
 * Adds up what several processes have mapped. The processes run on while they are read one after the other; a
 * sample is whole only if the shares of every file add up to the file itself. Undefined when they do not.
 */
export function combine(processes: SharedMapping[][]): MemoryUse | undefined {
  const files = new Map<string, { share: number; largest: number; mappers: number }>()
  for (const { inode, resident, share } of processes.flat()) {
    const file = files.get(inode) ?? { share: 0, largest: 0, mappers: 0 }
    files.set(inode, {
      share: file.share + share,
      largest: Math.max(file.largest, resident),
      mappers: file.mappers + 1,
    })
  }
  for (const { share, largest, mappers } of files.values()) {
    // The kernel rounds each share down to a kilobyte; a page may be touched by one process only.
    if (Math.abs(share - largest) > mappers * 1024 + largest / 100) return undefined
  }
  const total = (mappings: SharedMapping[], key: 'mapped' | 'share') =>
    mappings.reduce((sum, mapping) => sum + mapping[key], 0)
  return {
    buffers: files.size,
    processes: processes.map((mappings) => ({
      mapped: total(mappings, 'mapped'),
      share: total(mappings, 'share'),
    })),
  }
}

const ATTEMPTS = 5

/** Undefined when a process has gone, `/proc` is closed to us, or no sample was whole. */
export async function measureMemory(pids: readonly number[]): Promise<MemoryUse | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      const texts = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/smaps`, 'latin1')))
      const use = combine(texts.map(parseSmaps))
      if (use) return use
    } catch {
      return undefined
    }
  }
  return undefined
}
