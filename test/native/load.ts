import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Addon } from '../../src/native/addon.ts'

/** The addon's file: the prebuild, or another binary (a sanitized one) named by the environment. */
export const addonPath =
  process.env['DMABUF_ADDON'] ??
  fileURLToPath(new URL(`../../prebuilds/linux-${process.arch}/dmabuf.glibc.node`, import.meta.url))

export const addon = createRequire(import.meta.url)(addonPath) as Addon
