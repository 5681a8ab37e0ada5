import { BufferCore } from '../../dmabuf/buffer-core.ts'
import type { ExporterOps } from '../../dmabuf/exporter-ops.ts'
import { checked, problem, systemError } from '../../internal/errors.ts'
import type { Mapping } from '../../native/addon.ts'
import { addon } from '../../native/load.ts'

/** Sub-buffers that are alive, by their whole and their range. */
const known = new WeakMap<BufferCore, Map<string, BufferCore>>()

/**
 * A buffer over a range of another one's memory, with which it shares storage and life; the same range again is the same
 * buffer, and the whole range is the whole buffer.
 */
export function subBuffer(whole: BufferCore, offset: number, byteLength: number): BufferCore {
  const { storage, name } = whole
  if (whole.isRevoked) throw problem('revoked', { name })
  if (offset === 0 && byteLength === storage.byteLength) return whole
  const siblings = known.get(whole) ?? new Map<string, BufferCore>()
  known.set(whole, siblings)
  const key = `${offset}:${byteLength}`
  const same = siblings.get(key)
  if (same !== undefined) return same
  const mapping = writableMapping(whole, offset, byteLength)
  const fd = addon().duplicate(storage.fd)
  if (fd < 0) mapping?.close()
  checked(fd, 'fcntl', `duplicating the descriptor of buffer ${name}`)
  const core = new BufferCore({
    name,
    exporterName: whole.exporterName,
    role: 'exporter',
    storage: { ...storage, fd, offset: storage.offset + offset, byteLength, charged: 0 },
    ...(mapping === undefined ? {} : { mapping }),
  })
  whole.retain()
  core.ops = opsOf(whole, offset, () => {
    siblings.delete(key)
    whole.release()
  })
  core.onDestroy = () => core.ops?.release()
  siblings.set(key, core)
  return core
}

/** Where a seal forbids to map it anew, the one mapping that can write is there to be duplicated. */
function writableMapping(whole: BufferCore, offset: number, byteLength: number): Mapping | undefined {
  const { sharing, writable } = whole.storage
  if (sharing !== 'read-only' || !writable) return undefined
  const mapping = whole.mapping.duplicate(offset, byteLength)
  if (typeof mapping === 'number') throw systemError(mapping, 'mremap', `mapping buffer ${whole.name}`)
  return mapping
}

function opsOf(whole: BufferCore, shift: number, release: () => void): ExporterOps {
  return {
    release,
    beginCpuAccess: (access, offset, length) => whole.ops?.beginCpuAccess?.(access, shift + offset, length),
    endCpuAccess: (access, offset, length) => whole.ops?.endCpuAccess?.(access, shift + offset, length),
    map: (attachment, direction) => whole.ops?.map?.(attachment, direction),
    unmap: (attachment, direction) => whole.ops?.unmap?.(attachment, direction),
  }
}
