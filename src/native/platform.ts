import { readFileSync } from 'node:fs'

export type Libc = 'glibc' | 'musl'

/** What decides which binary fits, and what a bug report should say. */
export interface Platform {
  readonly platform: string
  readonly arch: string
  /** `undefined` when neither /proc nor the runtime tells; then both kinds are tried. */
  readonly libc: Libc | undefined
  readonly libcVersion: string | undefined
  /** `'node 20.20.2'`, `'deno 2.9.6'`, `'bun 1.4.5'`. */
  readonly runtime: string
}

export function currentPlatform(): Platform {
  const { platform, arch } = process
  return {
    platform,
    arch,
    libc: platform === 'linux' ? currentLibc() : undefined,
    // Only a diagnosis wants it, and only a report knows it.
    get libcVersion() {
      return platform === 'linux' ? glibcVersion() : undefined
    },
    runtime: runtimeName(),
  }
}

/**
 * The C library that this process itself runs on, not the one that is installed: Alpine with a glibc layer has
 * both. The mapped files say so exactly and at once; a diagnostic report costs milliseconds, so it comes second.
 */
export function currentLibc(): Libc | undefined {
  return libcOf(mappedFiles()) ?? (glibcVersion() === undefined ? undefined : 'glibc')
}

/** Reads the C library off the text of `/proc/self/maps`. */
export function libcOf(maps: string): Libc | undefined {
  if (/\/(ld-musl-[^/\n]*|libc\.musl-[^/\n]*)$/m.test(maps)) return 'musl'
  if (/\/(libc\.so\.6|libc-2\.\d+\.so|ld-linux[^/\n]*)$/m.test(maps)) return 'glibc'
  return undefined
}

function mappedFiles(): string {
  try {
    return readFileSync('/proc/self/maps', 'latin1')
  } catch {
    // No /proc in this sandbox, or a permission model that hides it: the report below may still know.
    return ''
  }
}

interface ReportHeader {
  readonly header?: { readonly glibcVersionRuntime?: string }
}

function glibcVersion(): string | undefined {
  // Deno and Bun have other reports, or none.
  const report: Partial<NodeJS.ProcessReport> & { excludeNetwork?: boolean } = process.report ?? {}
  if (typeof report.getReport !== 'function') return undefined
  const before = report.excludeNetwork
  try {
    // Otherwise every open socket's peer is looked up in the DNS, synchronously.
    report.excludeNetwork = true
    return (report.getReport() as ReportHeader).header?.glibcVersionRuntime
  } catch {
    return undefined
  } finally {
    if (before !== undefined) report.excludeNetwork = before
  }
}

function runtimeName(): string {
  const { bun, deno, electron, node } = process.versions as Record<string, string | undefined>
  if (bun !== undefined) return `bun ${bun}`
  if (deno !== undefined) return `deno ${deno}`
  if (electron !== undefined) return `electron ${electron}`
  return `node ${node}`
}
