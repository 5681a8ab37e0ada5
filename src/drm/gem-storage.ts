import type { BufferCore } from '../dmabuf/buffer-core.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { checked } from '../internal/errors.ts'
import { charge, refund } from '../memory/budget.ts'
import { createMemfd, storageBytes } from '../memory/memfd.ts'
import { hasSeals, Seal, UNDECIDED_SEALS } from '../memory/seals.ts'
import { addon } from '../native/load.ts'

/** What a dma-buf of a GEM object may be opened for. */
export type ExportAccess = 'read' | 'read-write'

/** Zeroed memory for a GEM object, within the budget. The first export decides who may write. */
export function allocateGemStorage(byteLength: number, name: string): Storage {
  const native = addon()
  const charged = storageBytes(byteLength)
  charge(charged)
  let fd = -1
  try {
    fd = createMemfd(`dmabuf:${name}`, byteLength)
    checked(native.addSeals(fd, UNDECIDED_SEALS), 'fcntl', `sealing buffer ${name}`)
    const sharing = 'writable'
    return { fd, offset: 0, byteLength, kind: 'memfd', sharing, undecided: true, writable: true, charged }
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
  // The one mapping that may write must be there before the seal that forbids to make it.
  if (access === 'read') void core.mapping
  core.storage = { ...storage, undecided: false, sharing: access === 'read' ? 'read-only' : 'writable' }
  checked(addon().addSeals(storage.fd, wanted), 'fcntl', `sealing buffer ${name}`)
}
