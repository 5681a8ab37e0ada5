import type { Sink } from '../lib/sink.ts'
import type { Setup, Start } from '../types.ts'

export interface PeerFacts {
  /** Every byte of a frame is copied at least once on its way. */
  readonly copies: boolean
  /** The package of bench/package.json that it needs. */
  readonly needs?: string
  readonly does: string
}

export const peers: Readonly<Record<string, PeerFacts>> = {
  ours: { copies: false, does: 'dmabuf: pool buffers over a Channel' },
  floor: { copies: false, does: 'a C program that passes the same descriptors' },
  'shm-typed-array': {
    copies: true,
    needs: 'shm-typed-array',
    does: 'a copy into a shared segment, read in place; signalled by child IPC',
  },
  'unix-stream': { copies: true, does: 'a Unix-socket stream, read into preallocated memory' },
  zeromq: { copies: true, needs: 'zeromq', does: 'a pair of sockets over ipc://' },
  'child-ipc': { copies: true, does: "child_process IPC with serialization 'advanced'" },
}

export const OURS = 'ours'

export const copyingPeers: readonly string[] = Object.keys(peers).filter((name) => peers[name]!.copies)

export type Consume = (setup: Setup, sink: Sink, address: string) => Promise<void> | void

type Lazy<T> = Readonly<Record<string, () => Promise<T>>>

// Loaded one by one, so that a process carries only the code of the peer that it measures.
export const starters: Lazy<Start> = {
  ours: async () => (await import('./ours.ts')).start,
  floor: async () => (await import('./floor.ts')).start,
  'shm-typed-array': async () => (await import('./shm-typed-array.ts')).start,
  'unix-stream': async () => (await import('./unix-stream.ts')).start,
  zeromq: async () => (await import('./zeromq.ts')).start,
  'child-ipc': async () => (await import('./child-ipc.ts')).start,
}

export const consumers: Lazy<Consume> = {
  ours: async () => (await import('./ours.ts')).consume,
  'shm-typed-array': async () => (await import('./shm-typed-array.ts')).consume,
  'unix-stream': async () => (await import('./unix-stream.ts')).consume,
  zeromq: async () => (await import('./zeromq.ts')).consume,
  'child-ipc': async () => (await import('./child-ipc.ts')).consume,
}
