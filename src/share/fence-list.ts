import { checked, problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { instance, list } from '../internal/validate.ts'
import { addon } from '../native/load.ts'
import { type Fence, handleOf, kernelDescriptorOf, signalledFence } from '../sync/fence.ts'
import { FenceArray } from '../sync/fence-array.ts'
import { KernelFence } from '../sync/kernel-fence.ts'
import { leavesOf } from '../sync/merge.ts'
import { receiveFence } from '../sync/receive-fence.ts'
import { SyncFile } from '../sync/sync-file.ts'
import {
  FENCE_BYTES,
  FenceFlag,
  type FenceRecord,
  readFenceRecord,
  writeFenceRecord,
} from './fence-record.ts'
import type { IncomingDescriptors } from './incoming-descriptors.ts'

/** A leaf of a sync file that is to be sent. */
export interface OutgoingFence {
  readonly file: number
  readonly fileName: string
  readonly fence: Fence
}

export const noFences: readonly OutgoingFence[] = []

/** What of these sync files goes into a message; they may be closed afterwards. Throws what is wrong with them. */
export function outgoingFences(files: readonly SyncFile[]): readonly OutgoingFence[] {
  const fences = list('fences', files, (what, file) => instance(what, file, SyncFile)).flatMap(
    (syncFile, file) =>
      Array.from(leavesOf(syncFile.fence), (fence) => ({ file, fileName: syncFile.name, fence })),
  )
  if (fences.length > limits.maxFencesPerMessage) {
    const why = `it has ${fences.length} fences, and the limit is ${limits.maxFencesPerMessage}`
    throw problem('message', { why })
  }
  return fences
}

/** Writes a fence and adds its descriptors, copies of which are put among those to close when they have left. */
export function writeFence(
  view: DataView,
  at: number,
  { file, fileName, fence }: OutgoingFence,
  descriptors: { count: number; readonly owned: number[] },
): void {
  const kernel = kernelDescriptorOf(fence)
  const handle = kernel === undefined ? handleOf(fence) : undefined
  const { seqno, error, timestamp, timelineName } = fence
  const common = { file, seqno, timelineName, fileName }
  const none = { slot: 0, contextLow: 0, contextHigh: 0 }
  if (kernel !== undefined) {
    pass([kernel], descriptors)
    const pending = { error: 0, timestamp: 0n, flags: FenceFlag.kernel }
    writeFenceRecord(view, at, { ...common, ...none, ...pending })
    return
  }
  if (handle === undefined) {
    const done = { error: -(error ?? 0), timestamp, flags: FenceFlag.signalled }
    writeFenceRecord(view, at, { ...common, ...none, ...done })
    return
  }
  pass([handle.page, handle.end], descriptors)
  const { slot, contextLow, contextHigh } = handle
  writeFenceRecord(view, at, { ...common, slot, contextLow, contextHigh, error: 0, timestamp: 0n, flags: 0 })
}

/** Copies: a fence may signal, and its descriptors be closed, before the message leaves. */
function pass(fds: readonly number[], descriptors: { count: number; readonly owned: number[] }): void {
  const native = addon()
  for (const fd of fds) {
    const own = checked(native.duplicate(fd), 'fcntl', 'sending a fence')
    descriptors.owned.push(own)
    native.scratch.outgoing[descriptors.count++] = own
  }
}

/** The sync files of the packet just received, or what is wrong with one of its fences. */
export function readFences(
  view: DataView,
  at: number,
  count: number,
  descriptors: IncomingDescriptors,
): SyncFile[] | string {
  const files: { name: string; fences: Fence[] }[] = []
  for (let index = 0; index < count; index++) {
    const record = readFenceRecord(view, at + index * FENCE_BYTES)
    if (record.file === files.length) files.push({ name: record.fileName, fences: [] })
    const file = files[record.file]
    if (file === undefined || record.file !== files.length - 1) return 'fences in no order'
    const fence = fenceOf(record, () => descriptors.take())
    if (typeof fence === 'string') return fence
    file.fences.push(fence)
  }
  return files.map(({ name, fences }) => {
    const [first] = fences
    return new SyncFile(fences.length === 1 && first !== undefined ? first : new FenceArray(fences), name)
  })
}

/** A fence that came; `take` gives the next of the descriptors that came along, or -1. */
export function fenceOf(record: FenceRecord, take: () => number): Fence | string {
  if ((record.flags & FenceFlag.signalled) !== 0) {
    if (record.error > 4095) return `a fence with the error ${record.error}`
    return signalledFence(record.timestamp, record.error === 0 ? undefined : -record.error)
  }
  const page = take()
  if ((record.flags & FenceFlag.kernel) !== 0) return kernelFence(page)
  const end = take()
  if (page >= 0 && end >= 0) return receiveFence(record, page, end)
  if (page >= 0) addon().closeLater([page])
  return 'a pending fence without its page and its end'
}

/** The link of a descriptor is the kernel's own word, and asks no file system. */
function kernelFence(fd: number): Fence | string {
  if (fd >= 0 && addon().linkTarget(fd) === 'anon_inode:sync_file') return KernelFence.make(fd)
  if (fd >= 0) addon().closeLater([fd])
  return 'a sync file that is none'
}
