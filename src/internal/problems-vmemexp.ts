import type { Problem } from './problem.ts'

/** Errors of exporting memory that a process already has. */
export const vmemexpProblems = {
  vmemHeap: {
    code: 'EINVAL',
    text: '{bytes} bytes cannot be exported where they are: {why}',
    cause:
      'Only memory in whole pages of its own can be shared without what lies beside it, and without what comes to lie there when it is freed. Small and pooled Buffers (Buffer.from, Buffer.allocUnsafe) have no such pages, nor have blocks that malloc takes from its heap.',
    remedy:
      'Use vmemexp.allocate(), a resizable ArrayBuffer, or the WebAssembly.Memory itself (not a view of its buffer); or copy the bytes into a buffer of a heap.',
  },
  vmemPartial: {
    code: 'EINVAL',
    text: '{bytes} bytes cannot be exported: no page of {page} bytes lies in them as a whole',
    cause: 'Pages that hold other bytes too are never shared, and here nothing is left beside them.',
    remedy: 'Export more of the block, or align what you export to pages; vmemexp.allocate() does.',
  },
  vmemMixed: {
    code: 'EFAULT',
    text: '{bytes} bytes cannot be exported: they {what}',
    cause:
      'A range is exported only when all of it is plain private memory, or all of it the same shared file.',
    remedy: 'Export each part for itself, or copy the bytes into vmemexp.allocate() memory.',
  },
  vmemFile: {
    code: 'EINVAL',
    text: '{bytes} bytes lie in a mapped file that cannot be shared: {found}',
    cause:
      'Memory of a mapping is shared by its file, which must be a memfd, a file in tmpfs or hugetlbfs, or a dma-buf; this process must have a descriptor of it, or the privilege to open /proc/self/map_files.',
    remedy: 'Keep the descriptor open that was mapped, or copy the bytes into vmemexp.allocate() memory.',
  },
  vmemOverlap: {
    code: 'EBUSY',
    text: '{bytes} bytes overlap an export of {others} bytes and go beyond it',
    cause: 'One page cannot lie in two files. The same range, or a part of it, can be exported again.',
    remedy: 'Export the larger range first, or close the other export.',
  },
  vmemWritable: {
    code: 'EPERM',
    text: "{bytes} bytes cannot be exported with sharing: 'read-only', because others can write them already",
    cause: "The memory was exported, or mapped from a file, with sharing: 'writable' before.",
    remedy: "Close that export first, or make it with sharing: 'read-only'.",
  },
  vmemThread: {
    code: 'EBUSY',
    text: '{bytes} bytes are exported by another thread of this process already',
    cause: 'The pages belong to that export and are private again when it ends.',
    remedy: 'Have that thread send the buffer, or close it first.',
  },
  vmemTransfer: {
    code: 'EBUSY',
    text: 'an exported block of {bytes} bytes cannot be transferred with another length',
    cause: 'Its pages would be cut off, or copied elsewhere, under the importers.',
    remedy: 'Transfer it as a whole, or close the export first.',
  },
  vmemLock: {
    code: 'errno',
    text: 'locking {bytes} bytes into memory failed; RLIMIT_MEMLOCK is {limit}',
    cause: 'The locked memory of a process is limited (EPERM: the limit is 0), unless it has CAP_IPC_LOCK.',
    remedy:
      'Raise the limit (ulimit -l in KiB, LimitMEMLOCK= of systemd, --ulimit memlock= of containers), or export with { lock: false }: the pages may then be swapped.',
  },
  vmemHandler: {
    code: 'EBUSY',
    text: 'memory cannot be exported while another handler for SIGSEGV stands before that of dmabuf',
    cause: 'Threads that store into the memory during its export wait in that handler, or would die.',
    remedy: "Take process.on('SIGSEGV') and other crash handlers in before the first export.",
  },
} as const satisfies Record<string, Problem>
