import type { BufferCore } from '../dmabuf/buffer-core.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { checked } from '../internal/errors.ts'
import { charge, refund } from '../memory/budget.ts'
import { createMemfd, storageBytes } from '../memory/memfd.ts'
import { hasSeals, Seal } from '../memory/seals.ts'
import { addon } from '../native/load.ts'

/** Who may write is decided by the first export: until then the seals leave both open. */
const UNDECIDED_SEALS = Seal.shrink | Seal.grow

/** What a dma-buf of a GEM object may be opened for. */
export type ExportAccess = 'read' | 'read-write'

/** Zeroed memory for a GEM object, within the budget. */
export function allocateGemStorage(byteLength: number, name: string): Storage {
  const native = addon()
  const charged = storageBytes(byteLength)
  charge(charged)
  let fd = -1
  try {
    fd = createMemfd(`dmabuf:${name}`, byteLength)
    checked(native.addSeals(fd, UNDECIDED_SEALS), 'fcntl', `sealing buffer ${name}`)
    return { fd, offset: 0, byteLength, kind: 'memfd', sharing: 'writable', writable: true, charged }
  } catch (error) {
    if (fd >= 0) native.close(fd)
    refund(charged)
    throw error
  }
}

/** Decides who may write, by the kernel's own seals. Again for storage that the buffer was moved to meanwhile. */
export function sealGemStorage(core: BufferCore, access: ExportAccess): void {
  const { storage, name } = core
  const wanted = access === 'read' ? Seal.futureWrite : Seal.seal
  if (hasSeals(addon().getSeals(storage.fd), wanted)) return
  if (access === 'read') {
    // The one mapping that may write must be there before the seal that forbids to make it.
    void core.mapping
    core.storage = { ...storage, sharing: 'read-only' }
  }
  checked(addon().addSeals(storage.fd, wanted), 'fcntl', `sealing buffer ${name}`)
}
