import { constants, readdirSync } from 'node:fs'
import { type BufferCore, liveBuffers } from '../../dmabuf/buffer-core.ts'
import { importDescriptor } from '../../dmabuf/foreign.ts'
import { problem } from '../../internal/errors.ts'
import { identityKey, inspect } from '../../memory/facts.ts'
import { admitStorage } from '../../memory/gate.ts'
import { addon } from '../../native/load.ts'
import type { MappedFile } from '../../native/vmem.ts'
import type { Block } from './block.ts'
import { subBuffer } from './sub-buffer.ts'

/**
 * A buffer over memory that is a mapping already: of a buffer of this environment, of a memfd, of a file in tmpfs, of a
 * dma-buf. Its file is found and shared; nothing is copied or moved.
 */
export function foundBuffer(block: Block, maps: readonly MappedFile[], name: string): BufferCore {
  const { address, byteLength } = block
  const offset = offsetIn(maps, address)
  const [first] = maps
  if (first === undefined || offset === undefined) {
    throw problem('vmemMixed', { bytes: byteLength, what: 'lie on several mappings of different kinds' })
  }
  const key = identityKey(first)
  for (const core of liveBuffers()) {
    const { storage } = core
    const inside = offset >= storage.offset && offset + byteLength <= storage.offset + storage.byteLength
    if (inside && fileKey(storage.fd) === key) return subBuffer(core, offset - storage.offset, byteLength)
  }
  if (!first.shared) {
    throw problem('vmemMixed', { bytes: byteLength, what: 'are private copies of the pages of a file' })
  }
  return withDescriptor(first, key, byteLength, (fd) => {
    const admitted = admitStorage(fd)
    if (typeof admitted === 'string') throw problem('vmemFile', { bytes: byteLength, found: admitted })
    const access = first.writable ? 'read-write' : 'read'
    // Whoever made the mapping has trusted the file already; a truncation is survived.
    return importDescriptor(fd, { offset, byteLength, name, access, trust: 'unsealed' })
  })
}

/** Byte of the file at an address, when all mappings show the same file without a gap. */
function offsetIn(maps: readonly MappedFile[], address: number): number | undefined {
  const [first] = maps
  if (first === undefined) return undefined
  const same = maps.every(
    (each) =>
      identityKey(each) === identityKey(first) &&
      each.shared === first.shared &&
      each.offset - first.offset === each.start - first.start,
  )
  return same ? first.offset + address - first.start : undefined
}

/** Identity of the file behind a descriptor, asked only of memory and dma-bufs: other files may be slow to answer. */
function fileKey(fd: number): string | undefined {
  const link = addon().linkTarget(fd)
  const facts = inspect(fd, typeof link === 'string' && link.startsWith('/dmabuf:'))
  return typeof facts === 'number' ? undefined : identityKey(facts)
}

/** Lends a descriptor of a mapped file: one that this process has, or one that the kernel gives to the privileged. */
function withDescriptor<T>(file: MappedFile, key: string, bytes: number, use: (fd: number) => T): T {
  const own = descriptors().find((fd) => fileKey(fd) === key)
  if (own !== undefined) return use(own)
  const path = `/proc/self/map_files/${file.start.toString(16)}-${file.end.toString(16)}`
  const fd = addon().open(path, file.writable ? constants.O_RDWR : constants.O_RDONLY, 0)
  if (fd < 0) throw problem('vmemFile', { bytes, found: 'no descriptor of it is open in this process' })
  try {
    return use(fd)
  } finally {
    addon().close(fd)
  }
}

function descriptors(): number[] {
  return readdirSync('/proc/self/fd').map(Number)
}
