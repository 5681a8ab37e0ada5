import { type DmaBufError, problem } from '../internal/errors.ts'
import type { Addon } from './addon.ts'
import { attempt, candidates, type Rejected } from './candidates.ts'
import { currentPlatform, type Platform } from './platform.ts'

interface Loaded {
  readonly path: string
  readonly addon: Addon
}

let loaded: Loaded | undefined

/**
 * The addon of this environment, loaded at its first use: importing the package costs nothing and works on
 * every system. Synchronous, so that `require('dmabuf')` works. A failure is not remembered; the next call
 * tries again.
 */
export function addon(): Addon {
  loaded ??= load()
  return loaded.addon
}

/** What is loaded here, or why nothing is. Never throws: `dmabuf doctor` prints it. */
export interface AddonDescription extends Platform {
  readonly path: string | undefined
  /** The addon's interface number. */
  readonly abi: number | undefined
  /** Version of Node-API that the runtime offers. */
  readonly napi: string | undefined
  readonly error: DmaBufError | undefined
}

export function describeAddon(): AddonDescription {
  let error: DmaBufError | undefined
  try {
    addon()
  } catch (cause) {
    error = cause as DmaBufError
  }
  const napi = process.versions['napi']
  return { ...currentPlatform(), path: loaded?.path, abi: loaded?.addon.abi, napi, error }
}

function load(): Loaded {
  const { platform, arch } = process
  if (platform !== 'linux') throw problem('platform', { platform: `${platform} ${arch}` })
  const here = currentPlatform()
  const rejected: Rejected[] = []
  for (const path of candidates(here)) {
    const result = attempt(path, here)
    if ('addon' in result) return result
    rejected.push(result)
  }
  throw problem('noAddon', { diagnosis: diagnosis(here, rejected) })
}

function diagnosis(here: Platform, rejected: readonly Rejected[]): string {
  const libc = here.libc === undefined ? 'unknown libc' : `${here.libc} ${here.libcVersion ?? ''}`.trim()
  const tried = rejected.map(({ path, why }) => `\n  ${path}: ${why}`).join('')
  return `${here.platform} ${here.arch}, ${libc}, ${here.runtime}${tried}`
}
