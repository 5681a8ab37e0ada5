import type { BufferCore } from '../dmabuf/buffer-core.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { problem, systemError } from '../internal/errors.ts'
import { type FileFacts, identityKey, inspect } from '../memory/facts.ts'
import { admitStorage } from '../memory/gate.ts'

/** A storage is made once and never changed, so its file has to be asked only once. */
const identities = new WeakMap<Storage, string>()

/** Which file a descriptor from outside is: `EBADF` when it is not open, `EINVAL` when it cannot be a buffer. */
export function identityOf(fd: number): string {
  const open = inspect(fd)
  if (typeof open === 'number') throw systemError(open, 'fcntl', `looking at descriptor ${fd}`)
  const admitted = admitStorage(fd)
  if (typeof admitted === 'string') throw problem('notMemory', { fd, found: admitted })
  return identityKey(admitted.facts)
}

/** Whether a buffer begins with that file, so that its descriptor stands for the buffer. */
export function isFile({ storage }: BufferCore, identity: string): boolean {
  if (storage.fd < 0 || storage.offset !== 0) return false
  let known = identities.get(storage)
  if (known === undefined) {
    const facts: FileFacts | number = inspect(storage.fd, storage.kind === 'dma-buf')
    if (typeof facts === 'number') return false
    known = identityKey(facts)
    identities.set(storage, known)
  }
  return known === identity
}
