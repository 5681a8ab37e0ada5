import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { closeSync, openSync, readSync } from 'node:fs'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Device, DmaEngine, PhysicalMemory } from '../../src/dma.ts'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { bufinfo, type DmaBuf, guard, SystemHeap, Timeline, type Violation } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { failure } from '../support/fails.ts'

const heap = new SystemHeap()
const PAGE = 4096
let seen: Violation[] = []
const note = (message: unknown) => seen.push(message as Violation)

useCensus()
beforeEach(() => {
  seen = []
  subscribe('dmabuf:guard:violation', note)
  guard({ report: false })
})
afterEach(() => {
  unsubscribe('dmabuf:guard:violation', note)
  guard({ mode: 'off', report: false })
})

/** Descriptors are looked at before immediates run; one that has just been added may have to wait for the next time. */
async function turn(): Promise<void> {
  for (let times = 0; times < 4; times++) await new Promise(setImmediate)
}

/** The bytes of a buffer as a program has them that keeps them beyond its bracket. */
function kept(buffer: DmaBuf): Uint8Array {
  using cpu = buffer.beginCpuAccessSync('read')
  return cpu.bytes
}

function facts({ kind, offset, bracket }: Violation): [string, number, string] {
  return [kind, offset, bracket]
}

test('a buffer without a name is told by its number', async () => {
  using buffer = heap.allocateSync(PAGE, { guard: 'throw' })
  kept(buffer)[0] = 1
  const { message } = await failure(() => buffer.beginCpuAccessSync('read'))
  expect(message).toContain(`write to buffer ${bufinfo()[0]?.id} (unnamed) outside any bracket`)
})

test('a read outside any bracket is a violation, and reads what is there', async () => {
  using buffer = await heap.allocate(2 * PAGE, { name: 'frame' })
  {
    using cpu = buffer.beginCpuAccessSync('write')
    cpu.bytes[5000] = 7
  }
  const bytes = kept(buffer)
  expect(bytes[5000]).toBe(7)
  await turn()
  expect(seen.map(facts)).toEqual([['read', 5000, 'none']])
  const [violation] = seen
  expect(violation).toMatchObject({ name: 'frame', role: 'exporter', thread: 'main', brackets: [] })
  expect(violation?.lastBegin).toMatch(/^at kept \(.*violations\.test\.ts/)
  expect(violation?.lastEnd).toContain('violations.test.ts')
  expect(violation?.approximateStack).toBeUndefined()
  expect(violation?.id).toBe(bufinfo()[0]?.id)
})

test('a write outside any bracket is one, and is stored', async () => {
  using buffer = await heap.allocate(PAGE)
  const bytes = kept(buffer)
  bytes[9] = 1
  expect(bytes[9]).toBe(1)
  await turn()
  expect(seen.map(facts)).toEqual([['write', 9, 'none']])
})

test('a write in a read bracket is one, a read is none', async () => {
  using buffer = await heap.allocate(PAGE)
  using cpu = buffer.beginCpuAccessSync('read')
  expect(cpu.bytes[3]).toBe(0)
  cpu.bytes[3] = 1
  cpu.end()
  expect(seen.map(facts)).toEqual([['write', 3, 'read']])
  expect(seen[0]?.brackets).toEqual([{ access: 'read', offset: 0, length: PAGE }])
  expect(seen[0]?.approximateStack).toContain('violations.test.ts')
})

test('what brackets allow is no violation', async () => {
  using buffer = await heap.allocate(3 * PAGE)
  for (const access of ['write', 'read-write'] as const) {
    using cpu = buffer.beginCpuAccessSync(access)
    cpu.bytes.fill(5)
    expect(cpu.bytes[2 * PAGE]).toBe(5)
  }
  using read = await buffer.beginCpuAccess('read', { offset: PAGE, length: 10 })
  expect(read.bytes[9]).toBe(5)
  expect(read.copy().bytes[0]).toBe(5)
  read.end()
  await turn()
  expect(seen).toEqual([])
})

test('after a violation the buffer is open until its next bracket', async () => {
  using buffer = await heap.allocate(2 * PAGE)
  using other = await heap.allocate(PAGE)
  const bytes = kept(buffer)
  bytes[0] = 1
  bytes[PAGE] = 1
  kept(other)
  expect(seen.map(facts)).toEqual([['write', 0, 'none']])
  bytes[2] = 1
  kept(buffer)
  bytes[1] = 1
  await turn()
  expect(seen.map(facts)).toEqual([
    ['write', 0, 'none'],
    ['write', 1, 'none'],
  ])
})

test('after a violation the buffer is open until the turn of the loop ends', async () => {
  using buffer = await heap.allocate(PAGE)
  const bytes = kept(buffer)
  bytes[0] = 1
  await Promise.resolve()
  bytes[1] = 1
  await turn()
  bytes[2] = 1
  await turn()
  expect(seen.map(({ offset }) => offset)).toEqual([0, 2])
})

test('a bracket of a range opens its pages and no others', async () => {
  using buffer = await heap.allocate(4 * PAGE)
  const bytes = kept(buffer)
  using cpu = buffer.beginCpuAccessSync('write', { offset: PAGE + 10, length: PAGE })
  bytes[PAGE] = 1
  bytes[3 * PAGE - 1] = 1
  cpu.bytes.fill(2)
  expect(bytes[3 * PAGE]).toBe(0)
  cpu.end()
  expect(seen.map(facts)).toEqual([['read', 3 * PAGE, 'elsewhere']])
})

test('brackets nest: the inner one takes nothing from the outer one', async () => {
  using buffer = await heap.allocate(2 * PAGE)
  using outer = buffer.beginCpuAccessSync('read')
  const bytes = outer.bytes
  {
    using inner = buffer.beginCpuAccessSync('write', { offset: 0, length: 100 })
    inner.bytes[0] = 1
    expect(bytes[PAGE]).toBe(0)
  }
  expect(bytes[PAGE]).toBe(0)
  bytes[0] = 2
  outer.end()
  expect(seen.map(facts)).toEqual([['write', 0, 'read']])
})

test('a close that ends brackets takes their rights away', async () => {
  using buffer = await heap.allocate(PAGE)
  const second = wrap(coreOf(buffer))
  const bytes = second.beginCpuAccessSync('write').bytes
  bytes[0] = 1
  second.close()
  bytes[1] = 1
  await turn()
  expect(seen.map(facts)).toEqual([['write', 1, 'none']])
})

test('read-only memory is guarded in its exporter', async () => {
  using buffer = await heap.allocate(PAGE, { sharing: 'read-only' })
  const bytes = kept(buffer)
  bytes[1] = 1
  await turn()
  expect(seen.map(facts)).toEqual([['write', 1, 'none']])
})

test('a mapped range is guarded by the brackets of its buffer', async () => {
  using buffer = await heap.allocate(4 * PAGE)
  using range = buffer.mmap({ offset: PAGE + 16, length: 100 })
  const bytes = range.bytes
  bytes[4] = 1
  {
    using cpu = buffer.beginCpuAccessSync('write')
    bytes[5] = cpu.length & 1
  }
  await turn()
  expect(seen.map(facts)).toEqual([['write', PAGE + 20, 'none']])
})

test('one buffer alone can be guarded, and freed of it', async () => {
  guard({ mode: 'off', report: false })
  using plain = await heap.allocate(PAGE)
  using buffer = await heap.allocate(PAGE)
  const others = kept(plain)
  const bytes = kept(buffer)
  buffer.guard()
  bytes[0] = 1
  others[0] = 1
  await turn()
  buffer.guard('off')
  bytes[0] = 2
  await turn()
  expect(seen.map(({ id }) => id)).toEqual([bufinfo()[1]?.id])
})

test('a buffer, and those of a pool, can be allocated with a mode of their own', async () => {
  guard({ mode: 'off', report: false })
  using buffer = await heap.allocate(PAGE, { guard: 'report' })
  using moving = await heap.allocate(PAGE, { guard: 'throw', movable: true, delayed: false })
  const pool = await heap.pool({ byteLength: PAGE, buffers: 1, guard: 'report' })
  kept(buffer)[1] = 1
  kept(moving)[2] = 1
  expect(() => moving.beginCpuAccessSync('read')).toThrow('at byte 2')
  for (const offset of [3, 4]) {
    using pooled = await pool.acquire()
    const bytes = kept(pooled)
    bytes[offset] = 1
    kept(pooled)
  }
  pool.close()
  await turn()
  expect(seen.map(facts)).toEqual([1, 2, 3, 4].map((offset) => ['write', offset, 'none']))
})

test('a placed buffer is guarded before and after it moves, and its contents move past the guard', async () => {
  const memory = new PhysicalMemory()
  using buffer = await new SystemHeap({ memory }).allocate(4 << 20, { movable: true })
  using write = await buffer.beginCpuAccess('write')
  const { bytes } = write
  bytes[PAGE] = 5
  write.end()
  using attachment = await buffer.attach(new Device('display', { maxSegments: 1 }))
  using table = await attachment.map('to-device')
  expect(table.length).toBe(1)
  expect(bufinfo()[0]?.moves.moves).toBe(1)
  expect(seen).toEqual([])
  expect(bytes[PAGE]).toBe(5)
  await turn()
  expect(seen.map(facts)).toEqual([['read', PAGE, 'none']])
})

test('a device reads and writes past the guard, outside brackets', async () => {
  using buffer = await heap.allocate(PAGE, { guard: 'report' })
  const device = new Device('display')
  using attachment = await buffer.attach(device)
  using table = await attachment.map('bidirectional')
  const engine = new DmaEngine(device)
  await engine.write(table, 10, Uint8Array.of(1, 2, 3))
  expect([...(await engine.read(table, 10, 3))]).toEqual([1, 2, 3])
  await turn()
  expect(seen).toEqual([])
})

test('a guard that comes inside a bracket waits for its end', async () => {
  guard({ mode: 'off', report: false })
  using buffer = await heap.allocate(PAGE)
  using cpu = buffer.beginCpuAccessSync('write')
  const { bytes } = cpu
  buffer.guard()
  bytes[0] = 1
  cpu.end()
  bytes[1] = 1
  await turn()
  buffer.guard('off')
  expect(seen.map(facts)).toEqual([['write', 1, 'none']])
})

test('in throw mode the next bracket throws the violation, once', async () => {
  using buffer = await heap.allocate(PAGE, { name: 'frame' })
  const bytes = kept(buffer)
  buffer.guard('throw')
  bytes[7] = 1
  const begin = () => buffer.beginCpuAccessSync('read')
  const error = await failure(begin)
  expect(error.code).toBe('ERR_DMABUF_GUARD')
  expect(error.message).toBe("ERR_DMABUF_GUARD: write to buffer 'frame' outside any bracket, at byte 7")
  expect(seen).toEqual([error.cause])
  begin().end()
  expect(bufinfo()[0]?.openBrackets).toBe(0)
})

test('many buffers are guarded at once, each with its own violations', async () => {
  const buffers = await Promise.all(Array.from({ length: 300 }, () => heap.allocate(PAGE)))
  const views = buffers.map(kept)
  for (const [index, bytes] of views.entries()) bytes[index] = 1
  await turn()
  expect(seen.map(({ offset }) => offset)).toEqual(buffers.map((_, index) => index))
  for (const buffer of buffers) buffer.close()
})

test('the kernel is refused with EFAULT, which is no violation', async () => {
  using buffer = await heap.allocate(PAGE)
  const bytes = kept(buffer)
  const fd = openSync('/dev/zero', 'r')
  try {
    expect(() => readSync(fd, bytes)).toThrow(expect.objectContaining({ code: 'EFAULT' }))
  } finally {
    closeSync(fd)
  }
  await turn()
  expect(seen).toEqual([])
})

test('native code on another thread is caught, and said to be another', async () => {
  using buffer = await heap.allocate(16 * PAGE)
  const bytes = kept(buffer)
  await promisify(gzip)(bytes)
  await turn()
  expect(seen.map(facts)).toEqual([['read', expect.any(Number), 'none']])
  expect(seen[0]?.thread).toBe('native thread')
})

test('a guard that is turned on while a bracket waits for fences guards it from its beginning to its end', async () => {
  guard({ mode: 'off', report: false })
  using buffer = await heap.allocate(PAGE, { name: 'frame' })
  const bytes = kept(buffer)
  using timeline = new Timeline()
  buffer.reservation.add(timeline.createFence(), 'write')
  const begun = buffer.beginCpuAccess('read')
  await turn()
  buffer.guard()
  expect(bytes[1]).toBe(0)
  await turn()
  expect(seen.map(facts)).toEqual([['read', 1, 'none']])
  timeline.signal(1)
  const cpu = await begun
  expect(cpu.bytes[2]).toBe(0)
  cpu.bytes[3] = 1
  cpu.end()
  expect(bytes[4]).toBe(0)
  await turn()
  expect(seen.map(facts).slice(1)).toEqual([
    ['write', 3, 'read'],
    ['read', 4, 'none'],
  ])
})

test('one that waits when the guard comes, and fails, leaves nothing open', async () => {
  guard({ mode: 'off', report: false })
  using buffer = await heap.allocate(PAGE)
  const bytes = kept(buffer)
  using timeline = new Timeline()
  buffer.reservation.add(timeline.createFence(), 'write')
  const controller = new AbortController()
  const begun = failure(() => buffer.beginCpuAccess('read', { signal: controller.signal }))
  await turn()
  buffer.guard()
  controller.abort()
  await begun
  expect(bytes[1]).toBe(0)
  await turn()
  expect(seen.map(facts)).toEqual([['read', 1, 'none']])
})

test('what is touched beyond the violations that can wait is out of reach again in the next turn, too', async () => {
  guard({ report: false, stacks: false })
  const pages = 4100
  using buffer = heap.allocateSync(pages * PAGE)
  const ranges = Array.from({ length: pages }, (_, page) =>
    buffer.mmap({ offset: page * PAGE, length: PAGE }),
  )
  const views = ranges.map(({ bytes }) => bytes)
  for (const view of views) view[1] = 1
  await turn()
  expect(seen).toHaveLength(4096)
  for (const view of views.slice(-5)) view[2] = 1
  await turn()
  expect(seen.slice(4096).map(({ offset }) => offset)).toEqual(
    [5, 4, 3, 2, 1].map((back) => (pages - back) * PAGE + 2),
  )
  expect(views.every((view) => view[1] === 1)).toBe(true)
})
