import type { Problem } from './problem.ts'

/** Errors of guarded mode. */
export const guardProblems = {
  guardViolation: {
    code: 'ERR_DMABUF_GUARD',
    text: '{what}',
    cause:
      "In guarded mode with 'throw', memory was touched that no open bracket allowed; the next bracket of the buffer says so. `error.cause` is the Violation, which tells where the last brackets began and ended.",
    remedy:
      'Touch the memory only between beginCpuAccess() and end(), in the range that was asked for, and store into it only in a write bracket.',
  },
} as const satisfies Record<string, Problem>
