import { Device, DmaEngine, type SgTable } from '../../src/dma.ts'
import {
  type Access,
  type Attachment,
  bufinfo,
  Channel,
  type CpuAccess,
  connect,
  type DmaBuf,
  type DmaBufError,
  type JsonLike,
  SystemHeap,
} from '../../src/index.ts'

import { shift } from './shift.ts'

/**
 * A process (or worker) that does what it is told over its channel: `{ do: name, … }`, answered by `{ done: name, … }`.
 * It keeps the buffers it gets until it is told otherwise.
 */
const parent = Channel.parent()
const held: DmaBuf[] = []
const open: CpuAccess[] = []
const channels: Channel[] = []
const heap = new SystemHeap()
const attachments: Attachment[] = []
const tables: SgTable[] = []
let notified = 0
let busy = false
let work = Promise.resolve()
let moves = 0
/** Views kept from brackets that have ended. */
const views: Uint8Array[] = []

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

/** The oldest buffer of this process. */
function bufferId(): number {
  return bufinfo()[0]?.id ?? -1
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
  /** A placed buffer, which it sends along; `options` are those of the heap. */
  place: async (order) => {
    const { bytes = 4096, options = {} } = order as { bytes?: number; options?: object }
    const buffer = await heap.allocate(bytes, { name: 'of the puppet', movable: true, ...options })
    held.push(buffer)
    return [{}, [buffer]]
  },
  /** As begin, but it waits. */
  enter: async (order) => {
    const signal = AbortSignal.timeout(Number(order['patience'] ?? 30_000))
    const cpu = await first().beginCpuAccess(String(order['access'] ?? 'read') as Access, { signal })
    open.push(cpu)
    return [{ interrupted: cpu.interrupted }]
  },
  /** Waits for nothing any more but to enter, and leaves then. */
  cling: () => {
    parent.unref()
    void first()
      .beginCpuAccess('read')
      .then(() => process.exit(3))
    return [{}]
  },
  load: async (order) => {
    const value = await first().withCpuAccess('read', (cpu) => cpu.bytes[Number(order['at'] ?? 0)] ?? -1)
    return [{ value }]
  },
  store: async (order) => {
    await first().withCpuAccess('write', (cpu) => {
      cpu.bytes[Number(order['at'] ?? 0)] = Number(order['value'])
      views.push(cpu.bytes)
    })
    return [{}]
  },
  /** What a view shows that was taken in an earlier bracket. */
  peek: (order) => [{ value: views[0]?.[Number(order['at'] ?? 0)] ?? -1 }],
  /** Makes its buffer move. */
  shift: async () => {
    await shift(first())
    return [{}]
  },
  /** Moves its buffer again and again, until it is told to rest. */
  roam: () => {
    busy = true
    work = (async () => {
      while (busy) {
        // Whoever is inside for too long: it is tried again.
        await shift(first()).then(
          () => moves++,
          () => {},
        )
        await new Promise(setImmediate)
      }
    })()
    return [{}]
  },
  /** Counts in its own word of the buffer, in a bracket each time, until it is told to rest. */
  toil: (order) => {
    busy = true
    const word = Number(order['word'])
    work = (async () => {
      for (; busy; moves++) {
        await first().withCpuAccess('write', (cpu) => {
          const words = new Uint32Array(cpu.bytes.buffer, cpu.bytes.byteOffset)
          words[word] = (words[word] ?? 0) + 1
        })
        if (moves % 50 === 0) await new Promise(setImmediate)
      }
    })()
    return [{}]
  },
  /** How often it has moved, or counted. */
  rest: async () => {
    busy = false
    // The last round counts: it may still be waiting for its bracket.
    await work
    return [{ moves }]
  },
  words: async () => {
    const words = await first().withCpuAccess('read', (cpu) => {
      const { buffer, byteOffset } = cpu.bytes
      return Array.from(new Uint32Array(buffer, byteOffset, 4))
    })
    return [{ words }]
  },
  fix: async () => {
    await first().fix()
    return [{ fd: first().fd }]
  },
  attach: async (order) => {
    const { device = {}, dynamic = false } = order as { device?: Record<string, number>; dynamic?: boolean }
    const { dmaMask, ...rest } = device
    const mask = dmaMask === undefined ? {} : { dmaMask: BigInt(dmaMask) }
    const attached = await first().attach(
      new Device('of the puppet', { ...rest, ...mask }),
      dynamic ? { moveNotify: () => notified++ } : {},
    )
    attachments.push(attached)
    return [{ attached: attachments.length }]
  },
  map: async (order) => {
    const signal = AbortSignal.timeout(Number(order['patience'] ?? 30_000))
    const table = await attachments.at(-1)?.map('bidirectional', { signal })
    if (table === undefined) throw new Error('nothing is attached')
    tables.push(table)
    const segments = Array.from(table, ({ dmaAddress, length }) => [Number(dmaAddress), length])
    return [{ segments, moved: table.moved }]
  },
  unmap: () => {
    for (const table of tables.splice(0)) table.unmap()
    return [{}]
  },
  pin: async () => {
    await attachments.at(-1)?.pin()
    return [{}]
  },
  unpin: () => {
    attachments.at(-1)?.unpin()
    return [{}]
  },
  detach: () => {
    for (const attachment of attachments.splice(0)) attachment.detach()
    return [{}]
  },
  /** What the device of the last attachment reads through its last table. */
  dma: async (order) => {
    const [attachment, table] = [attachments.at(-1), tables.at(-1)]
    if (attachment === undefined || table === undefined) throw new Error('nothing is mapped')
    const bytes = await new DmaEngine(attachment.device).read(table, Number(order['at'] ?? 0), 1)
    return [{ value: bytes[0] ?? -1 }]
  },
  /** What it knows of its first buffer. */
  info: () => {
    const { generation, openBrackets, holders } = bufinfo().find(({ id }) => id === bufferId()) ?? {}
    return [
      {
        generation: generation ?? -1,
        openBrackets: openBrackets ?? -1,
        holders: holders?.length ?? -1,
        notified,
      },
    ]
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
  /** Maps the first buffer in every way: what vmap says, and the first byte of a page. */
  mapped: (order) => {
    const page = Number(order['page'])
    const value = first().withCpuAccessSync('read', (cpu) => {
      using one = cpu.kmap(page)
      return one.bytes[0] ?? -1
    })
    try {
      using map = first().vmap()
      return [{ value, vmap: map.byteLength }]
    } catch (error) {
      return [{ value, vmap: (error as DmaBufError).code }]
    }
  },
  bareLook: (order) => [{ value: bare()[Number(order['at'])] ?? -1 }],
  bareStore: (order) => {
    bare()[Number(order['at'])] = Number(order['value'])
    return [{}]
  },
  coherency: () => [{ coherency: first().coherency, zeroCopy: first().zeroCopy }],
  end: () => {
    for (const cpu of open.splice(0)) cpu.end()
    return [{}]
  },
  /** Passes what it holds on to whoever listens there. */
  /** Once too often, all that is open. */
  endTwice: () => {
    for (const cpu of open.splice(0)) {
      cpu.end()
      cpu.end()
    }
    return [{}]
  },
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
    const { code = '', message: text, rule, needed, got } = error as DmaBufError
    const refusal = rule === undefined ? {} : { rule, needed, got }
    // Whoever gave the order may be gone.
    await parent.send({ done: name, code, text, ...refusal }).catch(() => {})
  }
  for (const buffer of buffers) if (!held.includes(buffer)) buffer.close()
}
await parent.close()
