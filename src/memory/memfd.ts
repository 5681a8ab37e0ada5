import { errno, problem, systemError } from '../internal/errors.ts'
import { addon } from '../native/load.ts'

export type HugePages = '2MiB' | '1GiB'

const shifts: Record<HugePages, number> = { '2MiB': 21, '1GiB': 30 }

/** Bytes that `byteLength` really takes: whole pages. */
export function storageBytes(byteLength: number, hugePages?: HugePages): number {
  const page = hugePages === undefined ? addon().pageSize : 2 ** shifts[hugePages]
  return Math.ceil(byteLength / page) * page
}

/**
 * A new memfd of whole pages, all of them allocated now: a lack of memory shows here, as an error, and not as a
 * SIGBUS at the first store. The caller owns the descriptor and seals it.
 */
export function createMemfd(name: string, byteLength: number, hugePages?: HugePages): number {
  const native = addon()
  const fd = native.memfdCreate(name, hugePages === undefined ? 0 : shifts[hugePages])
  if (fd < 0) throw systemError(fd, 'memfd_create', 'creating shared memory')
  const result = native.allocate(fd, storageBytes(byteLength, hugePages))
  if (result === 0) return fd
  native.close(fd)
  if ([errno.ENOSPC, errno.ENOMEM, errno.EFBIG].includes(-result)) {
    // hugetlbfs says ENOSPC where mmap(2) of huge pages says ENOMEM: one mistake, one code.
    const lack = hugePages === undefined ? result : -errno.ENOMEM
    throw problem('memory', { bytes: byteLength }, { result: lack, syscall: 'fallocate' })
  }
  throw systemError(result, 'fallocate', 'allocating shared memory')
}
