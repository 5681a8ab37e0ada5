import {
  bufinfo,
  Channel,
  type CpuAccess,
  connect,
  type DmaBuf,
  type JsonLike,
  SystemHeap,
} from '../../src/index.ts'

/**
 * A process (or worker) that does what it is told over its channel: `{ do: name, … }`, answered by `{ done: name, … }`.
 * It keeps the buffers it gets until it is told otherwise.
 */
const parent = Channel.parent()
const held: DmaBuf[] = []
const open: CpuAccess[] = []
const channels: Channel[] = []
const heap = new SystemHeap()

let bareView: Uint8Array | undefined

function bare(): Uint8Array {
  bareView ??= first().withCpuAccessSync('read', (cpu) => cpu.bytes)
  return bareView
}

type Order = { readonly [key: string]: JsonLike }
type Answer = readonly [answer: { [key: string]: JsonLike }, buffers?: readonly DmaBuf[]]

function first(): DmaBuf {
  const buffer = held[0]
  if (buffer === undefined) throw new Error('nothing is held')
  return buffer
}

const actions: Record<string, (order: Order, buffers: DmaBuf[]) => Answer | Promise<Answer> | undefined> = {
  hold: (_, buffers) => {
    held.push(...buffers)
    return [{ held: held.length }]
  },
  drop: () => {
    for (const buffer of held.splice(0)) buffer.close()
    return [{}]
  },
  /** Gives the buffers back and closes its own. */
  echo: (order, buffers) => [order, buffers],
  /** Sends what it holds, and goes on holding it. */
  show: () => [{}, held],
  allocate: (order) => {
    const buffer = heap.allocateSync(Number(order['bytes']), { name: 'of the puppet' })
    held.push(buffer)
    return [{}, [buffer]]
  },
  sum: () => {
    const bytes = first().withCpuAccessSync('read', (cpu) => cpu.copy().bytes)
    return [{ sum: bytes.reduce((sum, byte) => sum + byte, 0) }]
  },
  fill: (order) => {
    first().withCpuAccessSync('write', (cpu) => cpu.bytes.fill(Number(order['value'])))
    return [{}]
  },
  begin: (order) => {
    const strict = order['strict'] === true
    const cpu = first().beginCpuAccessSync(order['access'] === 'write' ? 'write' : 'read', { strict })
    open.push(cpu)
    return [{ interrupted: cpu.interrupted }]
  },
  /** Looks, or stores, without any bracket: through the view of the first one ever. */
  peek: (order) => [{ value: bare()[Number(order['at'])] ?? -1 }],
  poke: (order) => {
    bare()[Number(order['at'])] = Number(order['value'])
    return [{}]
  },
  coherency: () => [{ coherency: first().coherency, zeroCopy: first().zeroCopy }],
  end: () => {
    for (const cpu of open.splice(0)) cpu.end()
    return [{}]
  },
  /** Passes what it holds on to whoever listens there. */
  forward: async (order) => {
    const channel = await connect(String(order['path']))
    await channel.send({ forwarded: true }, held)
    channels.push(channel)
    return [{}]
  },
  /** Sends `count` messages at once and, when told so, leaves without a word. */
  flood: (order) => {
    for (let n = 0; n < Number(order['count']); n++) parent.send({ n }).catch(() => {})
    if (order['leave'] === true) process.kill(process.pid, 'SIGKILL')
    return undefined
  },
  same: (_, buffers) => [{ same: buffers.every((buffer) => buffer.same(first())) }],
  length: (_, buffers) => [{ length: buffers.length }],
  state: () => [{ held: held.map((buffer) => ({ role: buffer.role, revoked: buffer.revoked })) }],
  descriptors: async () => {
    const { readdirSync } = await import('node:fs')
    return [{ count: readdirSync('/proc/self/fd').length }]
  },
  /** Starts a process that inherits the socket, and outlives this one. */
  spawn: async () => {
    const { spawn } = await import('node:child_process')
    // 4: where forkWithChannel puts the channel.
    const child = spawn('sleep', ['1000'], { stdio: ['ignore', 'ignore', 'ignore', 4], detached: true })
    return [{ pid: child.pid ?? 0 }]
  },
  /** What an exporter sees of those who hold its first buffer. */
  holders: () => {
    const { fd } = first()
    const found = bufinfo().find((info) => info.fd === fd)?.holders ?? []
    return [{ holders: found.map(({ pid, openBrackets }) => ({ pid, openBrackets })) }]
  },
  /** Leaves with everything open. */
  leave: (order) => process.exit(Number(order['status'])),
  busy: (order) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(order['milliseconds']))
    return [{}]
  },
}

for await (const { message, buffers } of parent) {
  const order = message as Order
  const name = String(order['do'])
  try {
    const answer = await actions[name]?.(order, buffers)
    if (answer !== undefined) await parent.send({ done: name, ...answer[0] }, answer[1])
  } catch (error) {
    const { code = '', message: text } = error as NodeJS.ErrnoException
    // Whoever gave the order may be gone.
    await parent.send({ done: name, code, text }).catch(() => {})
  }
  for (const buffer of buffers) if (!held.includes(buffer)) buffer.close()
}
await parent.close()
