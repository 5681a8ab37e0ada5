import { DrmDevice } from '../../src/drm.ts'
import { Channel, type CpuAccess, type DmaBuf, type JsonLike } from '../../src/index.ts'

/**
 * A process with a DRM device of its own, that does what it is told over its channel: `{ do: name, … }`, answered by
 * `{ done: name, … }`. It closes the buffers it gets, unless it is told to hold them: what it imported is kept by the handles.
 */
const parent = Channel.parent()
const device = new DrmDevice('card-of-child')
const client = device.open()
const held: DmaBuf[] = []
const open: CpuAccess[] = []

type Order = { readonly [key: string]: JsonLike }
type Answer = readonly [answer: { [key: string]: JsonLike }, buffers?: readonly DmaBuf[]]

const actions: Record<string, (order: Order, buffers: DmaBuf[]) => Answer | Promise<Answer>> = {
  import: async (_, buffers) => {
    const handles: number[] = []
    for (const buffer of buffers) handles.push(await client.fdToHandle(buffer))
    return [{ handles }]
  },
  export: (order) => {
    const access = order['access'] === 'read-write' ? 'read-write' : 'read'
    return [{}, [client.handleToFd(Number(order['handle']), { access })]]
  },
  create: (order) => {
    const { handle, pitch } = client.createDumb({ width: 64, height: 64, bpp: 32 })
    using mapped = client.mapDumb(handle)
    mapped.bytes.fill(Number(order['fill']))
    return [{ handle, pitch }]
  },
  /** The first byte as the dma-buf shows it. */
  first: (order) => {
    using buffer = client.handleToFd(Number(order['handle']))
    return [{ first: buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0] ?? -1) }]
  },
  write: (order) => {
    using buffer = client.handleToFd(Number(order['handle']))
    buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(Number(order['value'])))
    return [{}]
  },
  hold: (_, buffers) => {
    held.push(...buffers)
    return [{}]
  },
  drop: () => {
    for (const buffer of held.splice(0)) buffer.close()
    return [{}]
  },
  /** What is in the first buffer that it holds, which may be moving: every byte, or nothing when they differ. */
  look: async () => {
    const bytes = await held[0]?.withCpuAccess('read', (cpu) => cpu.copy().bytes)
    return [{ byte: bytes?.every((byte) => byte === bytes[0]) === true ? (bytes[0] ?? -1) : -1 }]
  },
  fill: async (order) => {
    await held[0]?.withCpuAccess('write', (cpu) => cpu.bytes.fill(Number(order['value'])))
    return [{}]
  },
  begin: async () => {
    for (const buffer of held) open.push(await buffer.beginCpuAccess('read'))
    return [{ open: open.length }]
  },
  close: (order) => {
    client.closeHandle(Number(order['handle']))
    return [{ handles: client.handles }]
  },
}

for await (const { message, buffers } of parent) {
  const order = message as Order
  const name = String(order['do'])
  let answer: Answer
  try {
    answer = (await actions[name]?.(order, buffers)) ?? [{}]
  } catch (error) {
    const { code = '', message: text } = error as NodeJS.ErrnoException
    answer = [{ code, text }]
  }
  for (const buffer of buffers) if (!held.includes(buffer)) buffer.close()
  // Whoever gave the order may be gone.
  await parent.send({ done: name, ...answer[0] }, answer[1]).catch(() => {})
  for (const buffer of answer[1] ?? []) buffer.close()
}
await parent.close()
