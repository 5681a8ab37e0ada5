import { errno } from '../internal/errors.ts'
import { addon } from '../native/load.ts'
import type { SyncFenceInfo } from './fence-info.ts'

/** What the kernel tells of one of its sync files (include/uapi/linux/sync_file.h). */
export interface KernelFileInfo {
  readonly name: string
  readonly fences: readonly SyncFenceInfo[]
}

/** `struct sync_file_info` and `struct sync_fence_info`: the same on all machines. */
const FILE_BYTES = 56
const FENCE_BYTES = 80
const NAME = 32
/** Enough for most: a second question is only asked when there are more. */
const USUAL = 8

const nothing: KernelFileInfo = Object.freeze({ name: '', fences: [] })

/** `SYNC_IOC_FILE_INFO`. Empty where the kernel does not tell. */
export function kernelFileInfo(fd: number): KernelFileInfo {
  const native = addon()
  let bytes = new Uint8Array(FILE_BYTES + USUAL * FENCE_BYTES)
  let count = native.syncFileInfo(fd, bytes)
  if (count === -errno.EINVAL) {
    const all = native.syncFileInfo(fd, new Uint8Array(FILE_BYTES))
    if (all < 0) return nothing
    bytes = new Uint8Array(FILE_BYTES + all * FENCE_BYTES)
    count = native.syncFileInfo(fd, bytes)
  }
  if (count < 0) return nothing
  const view = new DataView(bytes.buffer)
  const fences = Array.from({ length: count }, (_, index) => {
    const at = FILE_BYTES + index * FENCE_BYTES
    const status = view.getInt32(at + 2 * NAME, true)
    return {
      timelineName: textAt(bytes, at),
      driverName: textAt(bytes, at + NAME),
      status,
      // While it is pending the field holds what it likes.
      timestamp: status === 0 ? 0n : view.getBigUint64(at + 2 * NAME + 8, true),
    }
  })
  return { name: textAt(bytes, 0), fences }
}

function textAt(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at)
  return Buffer.from(bytes.buffer, at, Math.min(end < 0 ? NAME : end - at, NAME)).toString()
}
