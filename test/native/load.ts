import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Addon, MapKind, Mapping } from '../../src/native/addon.ts'

/** The addon's file: the prebuild, or another binary (a sanitized one) named by the environment. */
export const addonPath =
  process.env['DMABUF_ADDON'] ??
  fileURLToPath(new URL(`../../prebuilds/linux-${process.arch}/dmabuf.glibc.node`, import.meta.url))

export const addon = createRequire(import.meta.url)(addonPath) as Addon

/** A preallocated memfd with these contents. */
export function memory(byteLength: number): number {
  const fd = addon.memfdCreate('test', 0)
  if (fd < 0 || addon.allocate(fd, byteLength) < 0) throw new Error(`no memory: ${fd}`)
  return fd
}

export function mapped(fd: number, offset: number, byteLength: number, kind: MapKind): Mapping {
  const mapping = addon.map(fd, offset, byteLength, kind)
  if (typeof mapping === 'number') throw new Error(`map: ${mapping}`)
  return mapping
}

export function viewOf(mapping: Mapping): ArrayBuffer {
  const view = mapping.view()
  if (typeof view === 'number') throw new Error(`view: ${view}`)
  return view
}

export function bytesOf(mapping: Mapping): Uint8Array<ArrayBuffer> {
  return new Uint8Array(viewOf(mapping))
}

/** Two connected sockets. */
export function sockets(): [number, number] {
  if (addon.socketPair() !== 0) throw new Error('socketPair')
  return [addon.scratch.descriptors[0]!, addon.scratch.descriptors[1]!]
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** Runs a script in a Node of its own, where `addon` and `gc` are there, and returns what it printed. */
export function inChild(
  script: string,
  shell = 'exec "$@"',
): { status: number | null; signal: string | null; out: string } {
  const head = `const addon = require(${JSON.stringify(addonPath)}); const turn = () => new Promise(setImmediate);`
  const body = `(async () => { ${script} })().catch((e) => { console.error(e); process.exit(99) })`
  const argv = ['-c', shell, 'sh', process.execPath, '--expose-gc', '-e', head + body]
  const child = spawnSync('/bin/sh', argv, { encoding: 'utf8', timeout: 60_000 })
  return { status: child.status, signal: child.signal, out: child.stdout + child.stderr }
}
