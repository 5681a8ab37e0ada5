import type { Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'

/** Runs with a descriptor and closes it afterwards. */
export async function withFd<T>(fd: number, use: (fd: number) => T | Promise<T>): Promise<T> {
  if (fd < 0) throw new Error(`no descriptor: ${fd}`)
  try {
    return await use(fd)
  } finally {
    addon().close(fd)
  }
}

/** A memfd of this size, filled, with these seals; the caller closes it. */
export function memfd(byteLength: number, seals = 0, fill = 0): number {
  const native = addon()
  const fd = native.memfdCreate('test', 0)
  if (fd < 0 || native.allocate(fd, byteLength) < 0) throw new Error(`no memory: ${fd}`)
  const mapping = native.map(fd, 0, byteLength, 0)
  if (typeof mapping === 'number') throw new Error(`map: ${mapping}`)
  native.copyIn(mapping, 0, new Uint8Array(byteLength).fill(fill))
  mapping.close()
  if (native.addSeals(fd, seals) < 0) throw new Error(`seals: ${seals}`)
  return fd
}

/** What a mapping has now, also where no ArrayBuffer may lie over it. */
export function contents(mapping: Mapping): Uint8Array {
  const bytes = new Uint8Array(mapping.byteLength)
  const result = addon().copyOut(mapping, 0, bytes, [])
  if (result < 0) throw new Error(`copy: ${result}`)
  return bytes
}
