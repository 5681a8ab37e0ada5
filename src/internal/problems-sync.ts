import type { Problem } from './problem.ts'

/** Errors of fences, timelines and reservations. */
export const syncProblems = {
  closedTimeline: {
    code: 'EBADF',
    text: 'timeline {name} is closed',
    cause: 'Its fences were completed with ENOENT when it was closed, and it makes no more.',
    remedy: 'Keep the timeline open as long as something is to be signalled.',
  },
  closedSyncFile: {
    code: 'EBADF',
    text: 'sync file {name} is closed and has no descriptor',
    cause: 'close() gives the descriptor up. The fence lives on without it.',
    remedy: 'Close the file when nobody polls its descriptor any more, or make another one of its fence.',
  },
  fenceList: {
    code: 'EINVAL',
    text: 'a container of fences was given {what}',
    cause:
      'An array of fences needs at least one, and arrays and chains do not stand inside arrays, as in the kernel.',
    remedy: 'Use mergeFences(), which takes containers apart.',
  },
  fencePoint: {
    code: 'EINVAL',
    text: 'point {point} is beyond the end of the chain, which is {last}',
    cause: 'Nobody has put a fence there yet.',
    remedy: 'Wait until the point is added to the chain.',
  },
  fencesPending: {
    code: 'EAGAIN',
    text: 'buffer {name} cannot be entered for {access} at once: fences are pending',
    cause: 'A device or another process is not done with the buffer, and said so by a fence.',
    remedy:
      'Use the form that returns a promise: it waits. poll() tells when there is nothing in the way any more.',
  },
  bufferFences: {
    code: 'ENOBUFS',
    text: 'buffer {name} has {count} pending fences already',
    cause: 'Each context has one place; somebody adds fences of ever new timelines, or never signals them.',
    remedy: 'Use one timeline for each device or queue, and signal what is done.',
  },
  noReservation: {
    code: 'EINVAL',
    text: 'the fences of buffer {name} are not kept here: {why}',
    cause: 'A reservation belongs to the environment of the exporter; those of a real dma-buf to the kernel.',
    remedy: 'Use exportSyncFile() and importSyncFile().',
  },
  mainThread: {
    code: 'EDEADLK',
    text: '{what} blocks, and this is the main thread',
    cause:
      'A blocked main thread handles no event: neither its own timers nor whatever would end the waiting.',
    remedy: 'Use the form that returns a promise, or wait in a worker thread.',
  },
  ownFence: {
    code: 'EDEADLK',
    text: 'waitSync would block the only thread that can signal the fence (timeline {name})',
    cause: 'The fence is pending, and its timeline belongs to the thread that wants to wait.',
    remedy: 'Use wait(), or wait in another thread than the one that signals.',
  },
} as const satisfies Record<string, Problem>
