import { problem, systemError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { integer, oneOf, options, text } from '../internal/validate.ts'
import { admitStorage, checkRange, dmaBufNames, isWritable } from '../memory/gate.ts'
import { addon } from '../native/load.ts'
import { BufferCore } from './buffer-core.ts'

export interface ForeignOptions {
  /** First byte; 0. */
  readonly offset?: number
  /** Bytes; the rest of the file. */
  readonly byteLength?: number
  readonly name?: string
  /** `'sealed'` (default) refuses memory that may still shrink; `'unsealed'` takes it and survives a truncation. */
  readonly trust?: 'sealed' | 'unsealed'
  /** `'read'` never writes, even where the descriptor would allow it; default: what the descriptor allows. */
  readonly access?: 'read' | 'read-write'
}

const foreignOptions = ['offset', 'byteLength', 'name', 'trust', 'access'] as const

/** Takes a descriptor from anywhere, at a stated level of trust. `fd` is borrowed and duplicated. */
export function importDescriptor(fd: number, foreign: ForeignOptions | undefined): BufferCore {
  integer('fd', fd, 0, 2 ** 31 - 1)
  const opts = options('DmaBuf.fromFd', foreign, foreignOptions)
  const trust = oneOf('trust', opts.trust ?? 'sealed', ['sealed', 'unsealed'])
  const access = oneOf('access', opts.access ?? 'read-write', ['read', 'read-write'])
  const offset = integer('offset', opts.offset ?? 0, 0)
  const admitted = admitStorage(fd)
  if (typeof admitted === 'string') throw problem('notMemory', { fd, found: admitted })
  const { kind, facts } = admitted
  if (kind === 'unsealed' && trust !== 'unsealed') throw problem('unsealed', { fd })
  checkRange(fd, facts.size, offset, 1)
  const byteLength = integer('byteLength', opts.byteLength ?? facts.size - offset, 1)
  checkRange(fd, facts.size, offset, byteLength)
  const writable = access === 'read-write' && isWritable(facts)
  const names = kind === 'dma-buf' ? dmaBufNames(fd) : undefined
  const name = text('name', opts.name ?? names?.name ?? '', limits.maxNameBytes)
  const own = addon().duplicate(fd)
  if (own < 0) throw systemError(own, 'fcntl', `duplicating descriptor ${fd}`)
  const sharing = writable ? 'writable' : 'read-only'
  const storage = { fd: own, offset, byteLength, kind, sharing, writable, charged: 0 } as const
  // Somebody else made this memory, but in this environment it begins here: this process passes it on.
  return new BufferCore({ name, exporterName: names?.exporterName ?? 'foreign', role: 'exporter', storage })
}
