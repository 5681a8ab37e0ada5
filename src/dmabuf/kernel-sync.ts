import { abortable } from '../internal/abort.ts'
import { checked, errno, problem, systemError } from '../internal/errors.ts'
import { READABLE, WRITABLE } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { kernelDescriptorOf } from '../sync/fence.ts'
import { KernelFence } from '../sync/kernel-fence.ts'
import { leavesOf } from '../sync/merge.ts'
import { SyncFile } from '../sync/sync-file.ts'
import type { Access } from './access.ts'

/** Flags of DMA_BUF_IOCTL_SYNC (include/uapi/linux/dma-buf.h). */
const SYNC: Record<Access, number> = { read: 1, write: 2, 'read-write': 3 }
const SYNC_END = 4

const POLLIN = 1
const POLLOUT = 4

/** Readers wait for writers' fences, writers for everybody's: what poll(2) on a dma-buf tells. */
export function isKernelReady(fd: number, access: Access): boolean {
  const wanted = access === 'read' ? POLLIN : POLLOUT
  return (addon().pollNow(fd, wanted) & wanted) !== 0
}

/** Begins a bracket of a real dma-buf, for which nothing has to be waited for. */
export function beginKernelSync(fd: number, access: Access, name: string): void {
  sync(fd, SYNC[access], name)
}

export function endKernelSync(fd: number, access: Access, name: string): void {
  sync(fd, SYNC[access] | SYNC_END, name)
}

/** Resolves when no fence stands in the way of this access. */
export function fencesPassed(fd: number, access: Access, signal: AbortSignal | undefined): Promise<void> {
  if (isKernelReady(fd, access)) return Promise.resolve()
  return abortable(signal, 'beginCpuAccess', (resolve, reject) => {
    const native = addon()
    // A descriptor of its own: the event loop watches each descriptor once, and several may wait.
    const own = native.duplicate(fd)
    if (own < 0) {
      reject(systemError(own, 'fcntl', 'waiting for fences'))
      return () => {}
    }
    const stop = () => {
      poll.close()
      native.close(own)
    }
    const poll = new native.Poll(own, () => {
      stop()
      resolve()
    })
    poll.start(access === 'read' ? READABLE : WRITABLE)
    return stop
  })
}

function sync(fd: number, flags: number, name: string): void {
  for (;;) {
    const result = addon().dmaBufSync(fd, flags)
    // The kernel's documentation asks to repeat on both.
    if (result === -errno.EINTR || result === -errno.EAGAIN) continue
    if (result < 0) throw systemError(result, 'ioctl', `synchronising buffer ${name}`)
    return
  }
}

/** What an access to a real dma-buf has to wait for: `DMA_BUF_IOCTL_EXPORT_SYNC_FILE`. */
export function exportKernelFences(fd: number, access: Access, name: string): SyncFile {
  const what = `exporting the fences of buffer ${name}`
  const file = checked(addon().dmaBufExportSyncFile(fd, SYNC[access]), 'ioctl', what)
  return SyncFile.from(KernelFence.make(file))
}

/** `DMA_BUF_IOCTL_IMPORT_SYNC_FILE`: the kernel takes its own sync files, and fences that have signalled need no place. */
export function importKernelFences(fd: number, file: SyncFile, access: Access, name: string): void {
  for (const fence of leavesOf(file.fence)) {
    if (fence.isSignalled) continue
    const descriptor = kernelDescriptorOf(fence)
    if (descriptor === undefined) throw problem('noReservation', { name, why: NOT_OURS })
    const what = `adding a fence to buffer ${name}`
    checked(addon().dmaBufImportSyncFile(fd, SYNC[access], descriptor), 'ioctl', what)
  }
}

const NOT_OURS = "it is a real dma-buf, and the kernel takes only the kernel's fences"
