import type { Problem } from './problem.ts'

/** Errors of buffers that are not plain shared memory. */
export const cacheProblems = {
  notACache: {
    code: 'EPROTO',
    text: 'the storage of buffer {name} does not hold a cache',
    cause:
      'Its exporter says that the buffer is non-coherent, and its file is too small or is laid out otherwise.',
    remedy:
      'Use the same version of the library in both processes; do not take buffers from whom you do not trust.',
  },
  cacheOptions: {
    code: 'EINVAL',
    text: 'a {coherency} buffer cannot have {option}',
    cause:
      'Non-coherent buffers are written by whoever brackets them, and lie in small pages; line size and seed are for them alone.',
    remedy: 'Leave the option out, or allocate the buffer with another coherency.',
  },
} as const satisfies Record<string, Problem>
