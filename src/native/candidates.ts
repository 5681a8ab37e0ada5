import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ABI, type Addon } from './addon.ts'
import type { Libc, Platform } from './platform.ts'

/** One file that was tried and does not fit. */
export interface Rejected {
  readonly path: string
  readonly why: string
}

export type Attempt = { readonly path: string; readonly addon: Addon } | Rejected

/** The package folder: both `src/native/` and `dist/native/` lie two levels below it. */
const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Files to try, best first. `DMABUF_ADDON` stands alone: who names a binary (a sanitizer build, say) must not
 * be served another one in silence.
 */
export function candidates({ arch, libc }: Platform): string[] {
  const named = process.env['DMABUF_ADDON']
  if (named !== undefined && named !== '') return [named]
  const libcs: Libc[] = libc === undefined ? ['glibc', 'musl'] : [libc]
  return [
    ...libcs.map((name) => `${root}prebuilds/linux-${arch}/dmabuf.${name}.node`),
    `${root}native/build/Release/dmabuf.node`,
  ]
}

export function attempt(path: string, platform: Platform): Attempt {
  // The permission model answers `false` here too; what it says about loading is the better text then.
  if (process.permission === undefined && !existsSync(path)) return { path, why: 'there is no such file' }
  try {
    const addon = createRequire(import.meta.url)(path) as Partial<Addon> | null
    if (addon?.abi !== ABI) {
      const theirs = addon?.abi === undefined ? 'no interface number' : `interface ${addon.abi}`
      return { path, why: `it has ${theirs}, and this release of dmabuf needs interface ${ABI}` }
    }
    return { path, addon: addon as Addon }
  } catch (error) {
    return { path, why: explain(error, platform) }
  }
}

/** Says in plain words why the system refused to load a file, and what the system said. */
export function explain(error: unknown, { arch, libc, libcVersion }: Platform): string {
  const said = error instanceof Error ? error.message : String(error)
  const code = (error as { code?: unknown } | null)?.code
  const version = /version [`'"]?(?<version>[\w.]+)'? not found/.exec(said)?.groups?.['version']
  const here = [libc, libcVersion].filter((word) => word !== undefined).join(' ')
  const plain =
    version !== undefined
      ? `it needs ${version}, which this system (${here}) lacks`
      : (causes.find(([pattern]) => pattern.test(said))?.[1] ??
        (code === 'ERR_DLOPEN_DISABLED' ? 'this process may not load addons' : undefined))
  const text = said.trim().split('\n', 1)[0]
  return plain === undefined ? `${text}` : `${plain.replace('{arch}', arch)} (${text})`
}

const causes: readonly (readonly [RegExp, string])[] = [
  [/ld-musl|libc\.musl|relocating|ld-linux/i, 'it was built for the other C library'],
  [/ELF class|wrong architecture|Exec format/i, 'it was not built for {arch}'],
  // What glibc says of a file that exists but has another machine in its header.
  [/\.node: cannot open shared object file/, 'it is for another machine, or its file cannot be read'],
  [/cannot open shared object file|loading shared library/i, 'a library it needs is missing'],
  [/failed to map segment/i, 'it lies on a file system mounted noexec'],
  [/addons is disabled|allow-addons/i, 'this process may not load addons: --no-addons, or no --allow-addons'],
  [/invalid ELF header|file too short/i, 'it is no shared library, or was cut short'],
  [/did not self-register|NODE_MODULE_VERSION/i, 'it is no Node-API addon'],
]
