import type { Addon } from './addon.ts'
import { createRequire } from 'node:module'

let loaded: Addon | undefined
export function addon(): Addon {
  loaded ??= createRequire(import.meta.url)('../../prebuilds/linux-x64/dmabuf.glibc.node') as Addon
  return loaded
}
