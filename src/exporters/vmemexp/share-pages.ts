import { readFileSync } from 'node:fs'
import type { BufferCore } from '../../dmabuf/buffer-core.ts'
import { exporterCore } from '../../dmabuf/export.ts'
import { mapStorage } from '../../dmabuf/map-storage.ts'
import type { Storage } from '../../dmabuf/storage.ts'
import { checked, errno, problem, systemError } from '../../internal/errors.ts'
import { charge, refund } from '../../memory/budget.ts'
import { identityKey, inspect } from '../../memory/facts.ts'
import { createMemfd, storageBytes } from '../../memory/memfd.ts'
import { READ_ONLY_SEALS, type Sharing, WRITABLE_SEALS } from '../../memory/seals.ts'
import type { Mapping } from '../../native/addon.ts'
import { addon } from '../../native/load.ts'
import type { Vmem } from '../../native/vmem.ts'
import type { Block } from './block.ts'
import { Exported } from './exported.ts'
import { extentOf } from './extent.ts'
import { framePages } from './frames.ts'

export interface SharePagesOptions {
  readonly name: string
  readonly sharing: Sharing
  readonly lock: boolean
}

/**
 * Moves the pages of private memory into a memfd and back under the same addresses. All that can fail comes before the
 * exchange, and an exchange that fails is undone: the memory is then as it was.
 */
export function sharePages(block: Block, shareOptions: SharePagesOptions): BufferCore {
  const { name, sharing } = shareOptions
  const { address, byteLength } = block
  const native = addon()
  const extent = extentOf(block)
  const offset = address % native.pageSize
  const bytes = storageBytes(offset + byteLength)
  charge(bytes)
  let fd = -1
  let vmem: Vmem | number = 0
  let mapping: Mapping | undefined
  let shared = false
  try {
    fd = createMemfd(`dmabuf:${name}`, bytes)
    const { start, length } = extent
    vmem = native.mapVmem(fd, address, byteLength, start, length, block.owner.threads)
    if (typeof vmem === 'number') throw systemError(vmem, 'mmap', 'mapping exported memory')
    if (shareOptions.lock) lock(vmem, bytes)
    // Kernels before 5.14 do not know it; the pages then come at the exchange.
    else vmem.populate()
    const storage: Storage = { fd, offset, byteLength, kind: 'memfd', sharing, writable: true, charged: 0 }
    // Its seal forbids every later mapping that can write.
    if (sharing === 'read-only') mapping = mapStorage(storage, 0, byteLength, name)
    share(vmem, fd, byteLength)
    shared = true
    const seals = sharing === 'read-only' ? READ_ONLY_SEALS : WRITABLE_SEALS
    checked(native.addSeals(fd, seals), 'fcntl', `sealing buffer ${name}`)
    const exported = new Exported(block, extent, vmem, fileKey(fd), bytes)
    const init = { ...storage, name, exporterName: 'vmemexp', ops: exported }
    exported.core = exporterCore(mapping === undefined ? init : { ...init, mapping })
    exported.core.pageSource = framePages(exported.core)
    return exported.core
  } catch (error) {
    mapping?.close()
    if (shared) (vmem as Vmem).end(extent.length)
    else if (typeof vmem !== 'number') vmem.abandon()
    if (fd >= 0) native.close(fd)
    refund(bytes)
    throw error
  }
}

function fileKey(fd: number): string {
  const facts = inspect(fd)
  if (typeof facts === 'number') throw systemError(facts, 'fstat', 'looking at new memory')
  return identityKey(facts)
}

function share(vmem: Vmem, fd: number, bytes: number): void {
  const result = vmem.share(fd)
  if (result === -errno.EBUSY) throw problem('vmemThread', { bytes })
  if (result === -errno.EDEADLK) throw problem('vmemHandler', {})
  checked(result, 'mmap', `exchanging the pages of ${bytes} bytes`)
}

function lock(vmem: Vmem, bytes: number): void {
  const result = vmem.lock()
  if (result >= 0) return
  throw problem('vmemLock', { bytes, limit: lockLimit() }, { result, syscall: 'mlock' })
}

/** The soft limit, as the kernel writes it: a number of bytes, or "unlimited". */
function lockLimit(): string {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1')
    return /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? 'unknown'
  } catch {
    return 'unknown'
  }
}
