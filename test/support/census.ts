import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { bufinfo } from '../../src/dmabuf/bufinfo.ts'
import { memoryBudget } from '../../src/memory/budget.ts'
import { untilCollected } from './until.ts'

/** What of the system this process has at a moment. */
export interface Census {
  readonly memfd: number
  readonly pipe: number
  readonly socket: number
  readonly pidfd: number
  readonly eventpoll: number
  /** Lines of /proc/self/maps that are shared memory: memfds, /dev/shm, dma-bufs. */
  readonly mappings: number
  /** Buffers that live in this environment. */
  readonly buffers: number
  /** Bytes charged to the memory budget. */
  readonly charged: number
}

/** How the link of a descriptor in /proc/self/fd begins. */
const kinds = {
  memfd: '/memfd:',
  pipe: 'pipe:[',
  socket: 'socket:[',
  pidfd: 'anon_inode:[pidfd]',
  eventpoll: 'anon_inode:[eventpoll]',
} as const

export function census(): Census {
  const links = descriptors().map(({ link }) => link)
  const count = (kind: keyof typeof kinds) => links.filter((link) => link.startsWith(kinds[kind])).length
  return {
    memfd: count('memfd'),
    pipe: count('pipe'),
    socket: count('socket'),
    pidfd: count('pidfd'),
    eventpoll: count('eventpoll'),
    mappings: sharedMappings().length,
    buffers: bufinfo().length,
    charged: memoryBudget().used,
  }
}

/** Every open descriptor of this process (or another one) with what it links to. */
export function descriptors(pid: number | 'self' = 'self'): { fd: number; link: string }[] {
  const directory = `/proc/${pid}/fd`
  return readdirSync(directory).flatMap((name) => {
    try {
      const link = readlinkSync(`${directory}/${name}`)
      // Newer kernels: a file of pidfs.
      return [{ fd: Number(name), link: link.startsWith('pidfd:[') ? kinds.pidfd : link }]
    } catch {
      // The one through which the directory itself was read.
      return []
    }
  })
}

/** Lines of /proc/self/maps that show shared memory. */
export function sharedMappings(pid: number | 'self' = 'self'): string[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')
  return lines.filter((line) => /\/memfd:|\/dev\/shm\/|\/dmabuf:/.test(line))
}

/** Fails unless this process comes to have what it had before; closing is partly asynchronous. */
export async function expectCensus(before: Census): Promise<void> {
  const same = () => {
    const now = census()
    return keys.every((key) => now[key] === before[key])
  }
  try {
    await untilCollected(same, 'the census is as before')
  } catch {
    expect(census(), describeDescriptors()).toEqual(before)
  }
}

const keys = ['memfd', 'pipe', 'socket', 'pidfd', 'eventpoll', 'mappings', 'buffers', 'charged'] as const

function describeDescriptors(): string {
  const lines = descriptors().map(({ fd, link }) => `${fd} ${link}`)
  return `left over among\n${[...lines, ...sharedMappings()].join('\n')}`
}

/**
 * Asserts around each test of the file that it leaves no descriptor, mapping, buffer or charged byte behind. What an
 * environment makes once and keeps (its door, its state segment) belongs into a `beforeAll` of the file.
 */
export function useCensus(): void {
  let before: Census | undefined
  beforeEach(async () => {
    // What went before may have left something to be closed at the end of its turn.
    await setImmediate()
    before = census()
  })
  afterEach(async ({ task }) => {
    // A test that failed half-way has left things open, and its own error says more.
    if (before !== undefined && task.result?.state !== 'fail') await expectCensus(before)
  })
}
