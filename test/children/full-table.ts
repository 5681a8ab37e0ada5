import { closeSync, openSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { DmaBufError, forkWithChannel, SystemHeap } from '../../src/index.ts'

/**
 * Runs with a small limit of descriptors. For each number of free ones it does what needs more, and prints what came
 * of it; afterwards it must have as many descriptors as before.
 */
const puppet = new URL(process.argv[2] ?? '')
const heap = new SystemHeap()

/** Opens descriptors until `free` are left; returns how to close them. */
function fill(free: number): () => void {
  const fds: number[] = []
  try {
    for (;;) fds.push(openSync('/dev/null', 'r'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
  }
  for (const fd of fds.splice(0, free)) closeSync(fd)
  return () => {
    for (const fd of fds) closeSync(fd)
  }
}

const open = () => readdirSync('/proc/self/fd').length

async function codeOf(act: () => Promise<unknown>): Promise<string> {
  try {
    await act()
    return 'done'
  } catch (error) {
    if (error instanceof DmaBufError) return error.code
    throw error
  }
}

/** One attempt in a process that has a puppet and `free` descriptors left. */
async function attempt(free: number, what: 'receive' | 'send'): Promise<void> {
  const { child, channel } = forkWithChannel(puppet, [], { execArgv: [] })
  const gone = new Promise((resolve) => child.once('exit', resolve))
  await channel.send({ do: 'hold' })
  await channel.receive()
  const empty = fill(free)
  const code = await codeOf(async () => {
    if (what === 'receive') {
      await channel.send({ do: 'allocate', bytes: 4096 })
      const { buffers } = await channel.receive()
      if (buffers.length !== 1) throw new Error('no buffer')
      for (const buffer of buffers) {
        buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(1))
        buffer.close()
      }
      return
    }
    const buffer = heap.allocateSync(4096)
    try {
      await channel.send({ do: 'hold' }, [buffer])
      await channel.receive()
    } finally {
      buffer.close()
    }
  })
  empty()
  // A failed send has harmed nothing: the channel goes on.
  let after = 'closed'
  if (what === 'send') after = await codeOf(() => channel.send({ do: 'drop' }).then(() => channel.receive()))
  await channel.close()
  const end = await channel.closed
  await gone
  process.stdout.write(`${JSON.stringify({ free, what, code, after, reason: end.reason })}\n`)
}

// What is made once and kept: door, state segment, watches.
await attempt(40, 'send')
await attempt(40, 'receive')
const before = open()
for (const what of ['receive', 'send'] as const)
  for (let free = 0; free <= 14; free++) await attempt(free, what)
const deadline = performance.now() + 20_000
while (open() !== before && performance.now() < deadline) await sleep(5)
process.stdout.write(`${JSON.stringify({ leaked: open() - before })}\n`)
