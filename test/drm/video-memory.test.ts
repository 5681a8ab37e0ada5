import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Device, DmaEngine } from '../../src/dma.ts'
import { type DrmClient, DrmDevice, type VideoMemoryStats } from '../../src/drm.ts'
import { type DmaBuf, memoryBudget, setMemoryBudget } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, codeOf } from '../support/fails.ts'

const PAGE = 4096
/** A buffer of 16 pages; the device has memory for three. */
const size = { width: 128, height: 128, bpp: 32 }
const BYTES = 16 * PAGE

let device: DrmDevice
let client: DrmClient

useCensus()
beforeEach(() => {
  device = new DrmDevice('card0', { memory: 3 * BYTES })
  client = device.open()
})
afterEach(() => device.close())

const memory = () => device.stats().memory as VideoMemoryStats

function create(value: number): number {
  const { handle } = client.createDumb(size)
  using mapped = client.mapDumb(handle)
  mapped.bytes.fill(value)
  return handle
}

/** The device reads a buffer by DMA; what is in it. */
async function use(handle: number, by: Device = device.device): Promise<number> {
  using prime = client.handleToFd(handle, { access: 'read-write' })
  await using attachment = await prime.attach(by)
  using table = await attachment.map('bidirectional')
  const bytes = await new DmaEngine(by).read(table)
  expect(new Set(bytes).size).toBe(1)
  return bytes[0]!
}

async function mapped(handle: number) {
  using prime = client.handleToFd(handle, { access: 'read-write' })
  const attachment = await prime.attach(device.device)
  await attachment.map('bidirectional')
  return attachment
}

describe('buffers of a device with memory of its own', () => {
  test('begin there while there is room, else in system memory', async () => {
    const handles = [1, 2, 3, 4].map(create)
    expect(memory()).toEqual({
      byteLength: 3 * BYTES,
      used: 3 * BYTES,
      evictions: 0,
      recalls: 0,
      bytesMoved: 0,
    })
    expect(await use(handles[3]!)).toBe(4)
    expect(memory()).toMatchObject({ used: 3 * BYTES, evictions: 1, recalls: 1, bytesMoved: 2 * BYTES })
  })

  test('keep their contents when there are more of them than memory', async () => {
    const handles = Array.from({ length: 10 }, (_, n) => create(n + 1))
    for (let round = 0; round < 3; round++) {
      for (const [n, handle] of handles.entries()) expect(await use(handle)).toBe(n + 1)
    }
    const { used, evictions, recalls, bytesMoved } = memory()
    expect(used).toBe(3 * BYTES)
    // Whoever goes round in more than there is finds nothing where it was; at first three were there already.
    expect([evictions, recalls]).toEqual([27, 27])
    expect(bytesMoved).toBe((evictions + recalls) * BYTES)
  })

  test('leave in the order in which they were used', async () => {
    const [a, b, c, d] = [1, 2, 3, 4].map(create) as [number, number, number, number]
    await use(a)
    await use(c)
    await use(b)
    await use(d)
    // a was used longest ago: it alone has left.
    const before = memory()
    for (const handle of [b, c, d]) await use(handle)
    expect(memory()).toEqual(before)
    await use(a)
    expect(memory().evictions).toBe(before.evictions + 1)
  })

  test('count a CPU access as use', async () => {
    const [a, b, c, d] = [1, 2, 3, 4].map(create) as [number, number, number, number]
    for (const handle of [a, b, c]) await use(handle)
    using prime = client.handleToFd(a)
    prime.withCpuAccessSync('read', () => {})
    await use(d)
    const before = memory()
    await use(a)
    expect(memory()).toEqual(before)
  })

  test('do not leave while they are mapped by the device', async () => {
    const handles = [1, 2, 3, 4].map(create)
    const attachments = [await mapped(handles[0]!), await mapped(handles[1]!)]
    expect(await use(handles[3]!)).toBe(4)
    expect(await use(handles[2]!)).toBe(3)
    attachments.push(await mapped(handles[2]!))
    expect(await codeOf(() => use(handles[3]!))).toBe('ENOMEM')
    attachments.pop()?.detach()
    expect(await use(handles[3]!)).toBe(4)
    for (const attachment of attachments) attachment.detach()
  })

  test('do not leave while a CPU access is open', async () => {
    const handles = [1, 2, 3, 4].map(create)
    const primes = handles.slice(0, 3).map((handle) => client.handleToFd(handle, { access: 'read-write' }))
    const accesses = primes.map((prime) => prime.beginCpuAccessSync('read'))
    expect(await codeOf(() => use(handles[3]!))).toBe('ENOMEM')
    accesses[1]?.end()
    expect(await use(handles[3]!)).toBe(4)
    for (const access of accesses) access.end()
    for (const prime of primes) prime.close()
  })

  test('do not leave once they are fixed', async () => {
    const handles = [1, 2, 3, 4].map(create)
    const primes = handles.slice(0, 3).map((handle) => client.handleToFd(handle))
    // Whoever takes the descriptor may have passed it on.
    for (const prime of primes) expect(prime.fd).toBeGreaterThan(2)
    expect(await codeOf(() => use(handles[3]!))).toBe('ENOMEM')
    for (const prime of primes) prime.close()
    client.destroyDumb(handles[0]!)
    expect(await use(handles[3]!)).toBe(4)
  })

  test('do not leave once they are frozen', async () => {
    const handles = [1, 2, 3, 4].map(create)
    using prime = client.handleToFd(handles[0]!)
    prime.freeze()
    for (const handle of handles.slice(1)) await use(handle)
    expect(prime.frozen).toBe(true)
    const { evictions } = memory()
    await using attachment = await prime.attach(device.device)
    using _table = await attachment.map('to-device')
    expect(memory().evictions).toBe(evictions)
  })

  test('stay at the addresses where JavaScript sees them', async () => {
    const handles = [1, 2, 3, 4].map(create)
    using mapping = client.mapDumb(handles[0]!)
    const { bytes } = mapping
    for (const handle of handles.slice(1)) await use(handle)
    expect(memory().evictions).toBe(1)
    expect(mapping.bytes).toStrictEqual(bytes)
    expect(bytes[5]).toBe(1)
    bytes.fill(77)
    expect(await use(handles[0]!)).toBe(77)
    bytes.fill(78)
    expect(await use(handles[0]!)).toBe(78)
  })

  test('go to system memory for another device, and come back', async () => {
    const handle = create(9)
    const camera = new Device('camera', { dmaMask: 0xffff_ffffn })
    expect(await use(handle, camera)).toBe(9)
    expect(memory()).toMatchObject({ used: 0, evictions: 1 })
    expect(await use(handle)).toBe(9)
    expect(memory()).toMatchObject({ used: BYTES, recalls: 1 })
  })

  test('are exported after a move as before it, read-only as well', async () => {
    const handles = [1, 2, 3, 4].map(create)
    // Moved before anybody decided who may write.
    const attachments = await Promise.all(handles.slice(1).map(mapped))
    expect(memory().evictions).toBe(1)
    using readOnly = client.handleToFd(handles[0]!)
    expect(codeNow(() => readOnly.beginCpuAccessSync('write'))).toBe('EACCES')
    for (const attachment of attachments) attachment.detach()
    expect(readOnly.sharing).toBe('read-only')
    await using reader = await readOnly.attach(device.device)
    using table = await reader.map('to-device')
    expect((await new DmaEngine(device.device).read(table, 0, 1))[0]).toBe(1)
    expect(readOnly.sharing).toBe('read-only')
    expect(codeNow(() => readOnly.beginCpuAccessSync('write'))).toBe('EACCES')
  })

  test('of any number are used at once by many', async () => {
    const handles = Array.from({ length: 8 }, (_, n) => create(n + 1))
    const rounds = Array.from({ length: 5 }, () => handles).flat()
    const seen = await Promise.allSettled(rounds.map((handle) => use(handle)))
    // Some find no room while all the others are in use; none finds wrong contents.
    for (const [n, result] of seen.entries()) {
      if (result.status === 'fulfilled') expect(result.value).toBe((n % 8) + 1)
      else expect(['ENOMEM', 'EBUSY']).toContain(result.reason.code)
    }
    for (const [n, handle] of handles.entries()) expect(await use(handle)).toBe(n + 1)
    expect(memory().used).toBeLessThanOrEqual(3 * BYTES)
  })

  test('that are larger than all of it work in system memory, but never there', async () => {
    const { handle } = client.createDumb({ width: 512, height: 512, bpp: 32 })
    expect(await codeOf(() => use(handle))).toBe('ENOMEM')
    expect(await use(handle, new Device('camera'))).toBe(0)
    expect(memory().evictions).toBe(0)
  })

  test('give their room back when they go, wherever they are', async () => {
    const handles = [1, 2, 3, 4].map(create)
    await use(handles[3]!)
    for (const handle of handles) client.destroyDumb(handle)
    expect(memory().used).toBe(0)
    expect(device.stats().buffers).toBe(0)
  })

  test('may go in the middle of a move', async () => {
    const handles = [1, 2, 3, 4].map(create)
    const using = use(handles[3]!).catch((error: NodeJS.ErrnoException) => error.code)
    client.close()
    await using
    expect([memory().used, device.stats().buffers]).toEqual([0, 0])
  })

  test('are not lost when there is no memory to move them to', async () => {
    const handles = [1, 2, 3, 4].map(create)
    const { budget, used } = memoryBudget()
    setMemoryBudget(used)
    try {
      expect(await codeOf(() => use(handles[3]!))).toBe('EDQUOT')
    } finally {
      setMemoryBudget(budget)
    }
    for (const [n, handle] of handles.entries()) expect(await use(handle)).toBe(n + 1)
  })
})

test('a device without memory of its own moves nothing', async () => {
  using plain = new DrmDevice('card1')
  const there = plain.open()
  const { handle } = there.createDumb(size)
  using prime: DmaBuf = there.handleToFd(handle)
  await using attachment = await prime.attach(plain.device)
  using _table = await attachment.map('to-device')
  expect(plain.stats().memory).toBeUndefined()
})
