import {
  type Access,
  bufinfo,
  Channel,
  type DmaBuf,
  type JsonLike,
  SyncFile,
  SystemHeap,
  Timeline,
} from '../../src/index.ts'

/** A process (or worker) that signals fences, and waits for those of others, as it is told over its channel. */
const parent = Channel.parent()
const timeline = new Timeline('of the fencer')
const held: SyncFile[] = []
const heldBuffers: DmaBuf[] = []
const heap = new SystemHeap()

function buffer(): DmaBuf {
  const [found] = heldBuffers
  if (found === undefined) throw new Error('no buffer is held')
  return found
}

function accessOf(order: Order): Access {
  const access = order['access']
  return access === 'write' || access === 'read-write' ? access : 'read'
}

function first(): SyncFile {
  const [file] = held
  if (file === undefined) throw new Error('nothing is held')
  return file
}

const devices: Timeline[] = []

function startDevice() {
  const device = new Timeline('device')
  devices.push(device)
  return device.createFence()
}

type Order = { readonly [key: string]: JsonLike }
type Answer = readonly [
  answer: { [key: string]: JsonLike },
  fences?: readonly SyncFile[],
  buffers?: readonly DmaBuf[],
]
type Action = (order: Order, fences: SyncFile[], buffers: DmaBuf[]) => Answer | Promise<Answer> | undefined

const outcome = (file: SyncFile): Answer => {
  const { status, error = 0, timestamp } = file.fence
  return [{ status, error, timestamp: String(timestamp), at: String(process.hrtime.bigint()) }]
}

const actions: Record<string, Action> = {
  make: (order) => {
    const count = Number(order['count'] ?? 1)
    return [{}, Array.from({ length: count }, () => SyncFile.from(timeline.createFence()))]
  },
  signal: (order) => {
    const error = order['error'] === undefined ? {} : { error: Number(order['error']) }
    timeline.signal(Number(order['seqno']), error)
    return order['quiet'] === true ? undefined : [{}]
  },
  failAll: (order) => {
    for (let left = Number(order['count']); left > 0; left--) {
      timeline.signal(timeline.seqno + 1, { error: Number(order['error']) })
    }
    return undefined
  },
  close: () => {
    timeline.close()
    return [{}]
  },
  hold: (_, fences) => {
    held.push(...fences)
    return [{ held: held.length }]
  },
  drop: () => {
    for (const file of held.splice(0)) file.close()
    return [{}]
  },
  /** Sends what it holds, and goes on holding it. */
  show: () => [{}, held],
  status: () => outcome(first()),
  deadline: (order) => {
    first().fence.setDeadline(BigInt(String(order['at'])))
    return [{}]
  },
  wait: async () => {
    await first().wait()
    return outcome(first())
  },
  waitSync: (order) => {
    const timeout = order['timeout'] === undefined ? {} : { timeout: Number(order['timeout']) }
    const signalled = first().fence.waitSync(timeout)
    return [{ ...outcome(first())[0], signalled }]
  },
  /** Waits, with nothing else that would keep it alive, and says so by its exit status. */
  waitAlone: (order) => {
    parent.unref()
    void first()
      .wait()
      .then(() => process.exit(Number(order['status'])))
    return undefined
  },
  // ---- fences of a buffer that was sent along ----
  holdBuffer: (_, _fences, buffers) => {
    heldBuffers.push(...buffers)
    return [{}]
  },
  dropBuffer: () => {
    for (const buffer of heldBuffers.splice(0)) buffer.close()
    return [{}]
  },
  allocate: () => {
    const buffer = heap.allocateSync(4096)
    heldBuffers.push(buffer)
    return [{}, [], [buffer]]
  },
  /** Sends a buffer that has a fence on it, and gets this signal in the very moment in which it has left. */
  expose: (order) => {
    const exposed = heap.allocateSync(4096)
    heldBuffers.push(exposed)
    exposed.reservation.add(timeline.createFence(), 'write')
    void parent.send({ done: 'expose' }, [exposed])
    process.kill(process.pid, String(order['signal']))
    return undefined
  },
  /** How many have registered for the buffer. */
  holders: () => [{ holders: bufinfo()[0]?.holders?.length ?? 0 }],
  // ---- devices, each with a timeline of its own, that are told by number when they are done ----
  another: () => {
    const made = heap.allocateSync(4096)
    heldBuffers.push(made)
    return [{ index: heldBuffers.length - 1 }, [], [made]]
  },
  start: (order) => {
    const fence = startDevice()
    const file = SyncFile.from(fence)
    const index = order['buffer']
    const access = order['access'] === 'read' ? 'read' : 'write'
    if (index !== undefined) heldBuffers[Number(index)]?.reservation.add(fence, access)
    return [{ device: devices.length - 1 }, [file]]
  },
  finish: (order) => {
    const device = devices[Number(order['device'])]
    device?.signal(1)
    device?.close()
    return [{}]
  },
  import: async (order) => {
    using file = SyncFile.from(timeline.createFence())
    await buffer().importSyncFile(file, accessOf(order))
    return [{}]
  },
  export: async (order) => [{}, [await buffer().exportSyncFile(accessOf(order))]],
  beginSync: (order) => {
    buffer().beginCpuAccessSync(accessOf(order)).end()
    return [{}]
  },
  begin: async (order) => {
    const cpu = await buffer().beginCpuAccess(accessOf(order))
    cpu.end()
    return [{ at: String(process.hrtime.bigint()) }]
  },
  poll: async (order) => {
    await buffer().poll(accessOf(order))
    return [{}]
  },
  leave: () => process.exit(0),
}

for await (const { message, fences, buffers } of parent) {
  const order = message as Order
  const name = String(order['do'])
  try {
    const answer = await actions[name]?.(order, fences, buffers)
    if (answer !== undefined)
      await parent.send({ done: name, ...answer[0] }, answer[2] ?? [], { fences: answer[1] ?? [] })
    for (const file of answer?.[1] ?? []) if (!held.includes(file)) file.close()
  } catch (error) {
    const { code = '', message: text } = error as NodeJS.ErrnoException
    await parent.send({ done: name, code, text }).catch(() => {})
  }
  for (const file of fences) if (!held.includes(file)) file.close()
}
await parent.close()
