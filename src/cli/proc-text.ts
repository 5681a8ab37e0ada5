/** Reading the text of /proc: pure functions, no I/O. Every text here comes from processes that are not trusted. */

/** What a descriptor or a mapping is called, when it is a buffer. */
export interface BufferLink {
  readonly kind: 'memfd' | 'dma-buf'
  readonly name: string
}

export interface MappedFile extends BufferLink {
  /** `major:minor` in decimal. */
  readonly device: string
  readonly inode: string
  /** Byte of the file at which the mapping begins. */
  readonly offset: number
  readonly byteLength: number
  /** Proportional share of memory, where smaps says so. */
  readonly pss: number | undefined
}

const DELETED = ' (deleted)'

/** `/memfd:dmabuf:frame (deleted)` and `/dmabuf:frame` are buffers; anything else is `undefined`. */
export function parseLink(link: string): BufferLink | undefined {
  if (link.startsWith('/memfd:dmabuf:') && link.endsWith(DELETED)) {
    return { kind: 'memfd', name: link.slice('/memfd:dmabuf:'.length, -DELETED.length) }
  }
  if (!link.startsWith('/dmabuf:')) return undefined
  const name = link.slice('/dmabuf:'.length)
  return { kind: 'dma-buf', name: name.endsWith(DELETED) ? name.slice(0, -DELETED.length) : name }
}

/** A line of maps, which smaps repeats: addresses, rights, offset, device, inode, path. */
const mapsLine =
  /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) \S+ (?<offset>[0-9a-f]+) (?<major>[0-9a-f]+):(?<minor>[0-9a-f]+) (?<inode>\d+) +(?<path>\/.*)$/

/** The buffers among the mappings in the text of /proc/PID/maps or /proc/PID/smaps. */
export function parseMaps(text: string): MappedFile[] {
  const found: MappedFile[] = []
  let current: MappedFile | undefined
  for (const line of text.split('\n')) {
    const pss = /^Pss: +(\d+) kB$/.exec(line)?.[1]
    if (pss !== undefined && current !== undefined) {
      found[found.length - 1] = { ...current, pss: Number(pss) * 1024 }
    }
    if (!/^[0-9a-f]+-/.test(line)) continue
    current = parseMapsLine(line)
    if (current !== undefined) found.push(current)
  }
  return found
}

function parseMapsLine(line: string): MappedFile | undefined {
  const {
    start = '',
    end = '',
    offset = '',
    major = '',
    minor = '',
    inode = '',
    path = '',
  } = mapsLine.exec(line)?.groups ?? {}
  const link = parseLink(unescapePath(path))
  if (link === undefined) return undefined
  return {
    ...link,
    device: `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`,
    inode,
    offset: Number.parseInt(offset, 16),
    byteLength: Number(BigInt(`0x${end}`) - BigInt(`0x${start}`)),
    pss: undefined,
  }
}

/** The kernel writes a newline in a name as `\012`, so that a line stays a line. */
function unescapePath(path: string): string {
  return path.replaceAll('\\012', '\n')
}

/** `st_dev` as `major:minor`, as maps has it (glibc's gnu_dev_major and gnu_dev_minor). */
export function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn)
  return `${major}:${BigInt.asUintN(32, minor)}`
}

/** Soft and hard limit of open files, from the text of /proc/self/limits. */
export function parseOpenFiles(text: string): { soft: string; hard: string } | undefined {
  const { soft, hard } = /^Max open files +(?<soft>\S+) +(?<hard>\S+)/m.exec(text)?.groups ?? {}
  return soft === undefined || hard === undefined ? undefined : { soft, hard }
}
