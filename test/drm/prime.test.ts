import { fstatSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PhysicalMemory } from '../../src/dma/physical-memory.ts'
import { Device } from '../../src/dma.ts'
import { type DrmClient, DrmDevice } from '../../src/drm.ts'
import { bufinfo, DmaBuf, SystemHeap } from '../../src/index.ts'
import { Seal, WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { memfd, withFd } from '../support/descriptor.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'

const size = { width: 64, height: 64, bpp: 32 }
const BYTES = 64 * 64 * 4
const heap = new SystemHeap()

let device: DrmDevice
let client: DrmClient
let handle: number

useCensus()
beforeEach(() => {
  device = new DrmDevice('card0')
  client = device.open()
  ;({ handle } = client.createDumb(size))
})
afterEach(() => device.close())

function first(buffer: DmaBuf): number | undefined {
  return buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0])
}

function fill(value: number): void {
  using mapped = client.mapDumb(handle)
  mapped.bytes.fill(value)
}

describe('handleToFd', () => {
  test('gives the dma-buf of the object, of the exporter "drm"', () => {
    // DR-17
    fill(3)
    using prime = client.handleToFd(handle)
    expect(prime).toBeInstanceOf(DmaBuf)
    expect(prime).toMatchObject({ exporterName: 'drm', byteLength: BYTES, role: 'exporter' })
    expect(first(prime)).toBe(3)
  })

  test('without access gives one that cannot be opened for writing', async () => {
    // DR-12, DR-13
    using prime = client.handleToFd(handle)
    expect(prime.sharing).toBe('read-only')
    const error = await failure(() => prime.beginCpuAccess('write'))
    expect([error.code, error.hint]).toEqual(['EACCES', expect.stringContaining('read-write')])
    expect(codeNow(() => prime.beginCpuAccessSync('read-write'))).toBe('EACCES')
    expect(addon().getSeals(prime.fd) & Seal.futureWrite).not.toBe(0)
  })

  test('that is read-only leaves the dumb mapping writable, before and after', () => {
    using before = client.mapDumb(handle)
    using prime = client.handleToFd(handle)
    using after = client.mapDumb(handle)
    before.bytes[0] = 1
    expect([first(prime), after.bytes[0]]).toEqual([1, 1])
    after.bytes[0] = 2
    expect([first(prime), before.bytes[0]]).toEqual([2, 2])
  })

  test('gives the same dma-buf each time, in wrappers of their own', () => {
    // DR-14, DR-15b
    using one = client.handleToFd(handle)
    const two = client.handleToFd(handle)
    expect(two.same(one)).toBe(true)
    expect(fstatSync(two.fd).ino).toBe(fstatSync(one.fd).ino)
    two.close()
    expect(first(one)).toBe(0)
  })

  test.each(['read', 'read-write'] as const)('decides for %s once and for all', async (access) => {
    // DR-15, DR-33
    const another = access === 'read' ? 'read-write' : 'read'
    const writes = (prime: DmaBuf) => {
      try {
        prime.beginCpuAccessSync('write').end()
        return true
      } catch {
        return false
      }
    }
    client.handleToFd(handle, { access }).close()
    using prime = client.handleToFd(handle, { access: another })
    expect(writes(prime)).toBe(access === 'read-write')
    client.closeHandle(handle)
    const again = await client.fdToHandle(prime)
    using later = client.handleToFd(again, { access: another })
    expect(writes(later)).toBe(access === 'read-write')
  })

  test('with unknown options is EINVAL', () => {
    // DR-09
    expect(codeNow(() => client.handleToFd(handle, { access: 'write' as 'read' }))).toBe('EINVAL')
    expect(codeNow(() => client.handleToFd(handle, { acess: 'read' } as object))).toBe('EINVAL')
  })

  test('gives memory whose size nobody can change, and to which no writer can be denied', () => {
    using prime = client.handleToFd(handle, { access: 'read-write' })
    expect(addon().getSeals(prime.fd) & (WRITABLE_SEALS | Seal.futureWrite)).toBe(WRITABLE_SEALS)
  })

  test('gives a dma-buf that outlives handle, client and device', () => {
    // DR-32, DR-34
    fill(9)
    using prime = client.handleToFd(handle)
    client.closeHandle(handle)
    expect(first(prime)).toBe(9)
    client.close()
    device.close()
    expect(first(prime)).toBe(9)
    expect(device.stats().buffers).toBe(1)
  })
})

describe('fdToHandle', () => {
  test("of the client's own export is the handle that it came from, at once", () => {
    // DR-16
    using prime = client.handleToFd(handle)
    expect(client.fdToHandle(prime)).toBe(handle)
  })

  test('of an export of another client of the device is the same object', () => {
    // DR-18
    fill(6)
    using prime = client.handleToFd(handle)
    const other = device.open()
    const theirs = other.fdToHandle(prime)
    expect([theirs, other.fdToHandle(prime)]).toEqual([1, 1])
    using mapped = other.mapDumb(1)
    expect(mapped.bytes[0]).toBe(6)
    // DR-21
    using again = other.handleToFd(1)
    expect(again.same(prime)).toBe(true)
    expect(device.stats().buffers).toBe(1)
  })

  test('is not counted: one closeHandle takes it away, the next is EINVAL, and it can be imported again', () => {
    // DR-19, DR-20
    using prime = client.handleToFd(handle)
    for (let n = 0; n < 3; n++) expect(client.fdToHandle(prime)).toBe(handle)
    client.closeHandle(handle)
    expect(codeNow(() => client.closeHandle(handle))).toBe('EINVAL')
    expect(codeNow(() => client.handleToFd(handle))).toBe('ENOENT')
    expect(client.fdToHandle(prime)).toBe(handle)
  })

  test('finds the object of which only the dma-buf is left, contents and all', () => {
    // DR-31, DR-60
    fill(11)
    using prime = client.handleToFd(handle, { access: 'read-write' })
    client.destroyDumb(handle)
    prime.withCpuAccessSync('write', (cpu) => {
      cpu.bytes[1] = 12
    })
    const again = client.fdToHandle(prime) as number
    using mapped = client.mapDumb(again)
    expect([...mapped.bytes.subarray(0, 3)]).toEqual([11, 12, 11])
    using reprime = client.handleToFd(again)
    expect(reprime.same(prime)).toBe(true)
  })

  test('of a closed buffer or descriptor is EBADF, of something else EINVAL', async () => {
    const closed = client.handleToFd(handle)
    closed.close()
    expect(codeNow(() => client.fdToHandle(closed))).toBe('EBADF')
    // DR-10, DR-11
    for (const fd of [-1, 1_000_000]) expect(codeNow(() => client.fdToHandle(fd))).toBe('EBADF')
    await withFd(addon().open('/dev/null', 0, 0), (fd) =>
      expect(codeNow(() => client.fdToHandle(fd))).toBe('EINVAL'),
    )
    for (const source of [undefined, null, 'prime', {}, [], 1.5, 2 ** 31]) {
      expect(codeNow(() => client.fdToHandle(source as number))).toBe('EINVAL')
    }
    expect(codeNow(() => client.fdToHandle(closed, { signl: 1 } as object))).toBe('EINVAL')
  })

  test('takes a descriptor too, also a second one of the same file', async () => {
    // DR-50
    using prime = client.handleToFd(handle)
    expect(client.fdToHandle(prime.fd)).toBe(handle)
    await withFd(addon().duplicate(prime.fd), (fd) => expect(client.fdToHandle(fd)).toBe(handle))
    client.closeHandle(handle)
    const other = device.open()
    expect(other.fdToHandle(prime.fd)).toBe(1)
  })
})

describe('a foreign buffer', () => {
  test('is attached and mapped at import, and has one handle however often it is imported', async () => {
    // DR-35, DR-36
    using foreign = heap.allocateSync(BYTES, { name: 'foreign' })
    const imported = client.fdToHandle(foreign)
    expect(imported).toBeInstanceOf(Promise)
    expect(await imported).toBe(2)
    expect(client.fdToHandle(foreign)).toBe(2)
    expect(await client.fdToHandle(foreign)).toBe(2)
    // DR-39
    const info = bufinfo().find(({ name }) => name === 'foreign')
    expect(info?.attachedDevices).toMatchObject([{ name: 'card0', mapped: true }])
    // The device itself allocated only the other one.
    expect(device.stats().buffers).toBe(1)
  })

  test('that two imports ask for at once is one object', async () => {
    using foreign = heap.allocateSync(BYTES)
    const handles = await Promise.all([1, 2, 3].map(() => client.fdToHandle(foreign)))
    expect(handles).toEqual([2, 2, 2])
    client.closeHandle(2)
    expect(codeNow(() => client.closeHandle(2))).toBe('EINVAL')
  })

  test('is not mapped as a dumb buffer, and its export is itself', async () => {
    using foreign = heap.allocateSync(BYTES)
    const imported = await client.fdToHandle(foreign)
    // DR-37
    expect(codeNow(() => client.mapDumb(imported))).toBe('EINVAL')
    // DR-38
    using prime = client.handleToFd(imported)
    expect(prime.same(foreign)).toBe(true)
    expect(prime.exporterName).toBe('system')
    prime.withCpuAccessSync('write', () => {})
  })

  test('is kept after it was closed, and let go with its handle', async () => {
    // DR-40, DR-41
    const foreign = heap.allocateSync(BYTES, { name: 'foreign' })
    const imported = await client.fdToHandle(foreign)
    foreign.close()
    const info = () => bufinfo().filter(({ name }) => name === 'foreign')
    expect(info().length).toBe(1)
    using prime = client.handleToFd(imported)
    client.closeHandle(imported)
    expect(info()[0]?.attachedDevices).toEqual([])
    prime.close()
    expect(info()).toEqual([])
  })

  test('is an object of its own in each client', async () => {
    using foreign = heap.allocateSync(BYTES, { name: 'foreign' })
    const other = device.open()
    expect(await client.fdToHandle(foreign)).toBe(2)
    expect(await other.fdToHandle(foreign)).toBe(1)
    const attached = () => bufinfo().find(({ name }) => name === 'foreign')?.attachedDevices.length
    expect(attached()).toBe(2)
    client.closeHandle(2)
    expect(attached()).toBe(1)
    other.close()
    expect(attached()).toBe(0)
  })

  test('may come from another DRM device, and goes back to it', async () => {
    fill(5)
    using prime = client.handleToFd(handle, { access: 'read-write' })
    using second = new DrmDevice('card1')
    const there = second.open()
    const imported = await there.fdToHandle(prime)
    using back = there.handleToFd(imported)
    expect(client.fdToHandle(back)).toBe(handle)
    expect(codeNow(() => there.mapDumb(imported))).toBe('EINVAL')
  })

  test('may come as a descriptor, and is known by it again', async () => {
    await withFd(memfd(BYTES, WRITABLE_SEALS, 4), async (fd) => {
      expect(await client.fdToHandle(fd)).toBe(2)
      expect(await client.fdToHandle(fd)).toBe(2)
      using prime = client.handleToFd(2)
      expect(first(prime)).toBe(4)
    })
  })

  test('whose memory is read-only here is mapped for reading', async () => {
    using foreign = heap.allocateSync(BYTES, { sharing: 'read-only' })
    await withFd(addon().duplicate(foreign.fd), async (fd) => {
      using taken = DmaBuf.fromFd(fd, { access: 'read' })
      expect(await client.fdToHandle(taken)).toBe(2)
    })
  })

  test('that does not suit the device is refused with the rule it breaks, and leaves nothing', async () => {
    const vc4 = new Device('vc4', { maxSegments: 1 })
    using display = new DrmDevice('card1', { device: vc4 })
    const there = display.open()
    const memory = new PhysicalMemory()
    using _fragmented = memory.fragment({ longest: 4096 })
    using scattered = new SystemHeap({ memory }).allocateSync(64 << 12)
    // The camera that filled it was content with single pages.
    await using camera = await scattered.attach(new Device('camera'))
    await camera.map('from-device')
    const error = await failure(() => there.fdToHandle(scattered))
    expect(error).toMatchObject({ code: 'EINVAL', rule: 'contiguous', needed: expect.any(String) })
    expect(there.handles).toBe(0)
    // Its own buffers do suit.
    const own = there.createDumb({ width: 256, height: 256, bpp: 32 })
    using prime = there.handleToFd(own.handle)
    await using attachment = await prime.attach(vc4)
    expect((await attachment.map('to-device')).length).toBe(1)
  })

  test('that a client is importing when it closes is let go', async () => {
    // DR-58
    using foreign = heap.allocateSync(BYTES, { name: 'foreign' })
    const imported = client.fdToHandle(foreign)
    client.close()
    expect(await codeOf(() => imported)).toBe('EBADF')
    expect(bufinfo().find(({ name }) => name === 'foreign')?.attachedDevices).toEqual([])
  })

  test('that is closed while it is imported is imported all the same', async () => {
    // DR-58
    const foreign = heap.allocateSync(BYTES)
    const imported = client.fdToHandle(foreign)
    foreign.close()
    client.closeHandle(await imported)
  })

  test('whose handle is taken away while it is imported again becomes another object', async () => {
    // DR-58
    using foreign = heap.allocateSync(BYTES)
    for (let n = 0; n < 20; n++) {
      const imports = [client.fdToHandle(foreign), client.fdToHandle(foreign)]
      const imported = await imports[0]
      client.closeHandle(imported as number)
      const second = await imports[1]
      if (codeOrNothing(() => client.closeHandle(second as number)) === undefined) continue
      expect(client.handles).toBe(1)
    }
    expect(client.handles).toBe(1)
  })

  test('is not imported when the signal fires before its turn', async () => {
    using foreign = heap.allocateSync(BYTES)
    expect(await codeOf(() => client.fdToHandle(foreign, { signal: AbortSignal.abort() }))).toBe('ABORT_ERR')
    expect(client.handles).toBe(1)
  })

  test('that is revoked cannot be imported, and one that is imported can be let go', async () => {
    using revoked = heap.allocateSync(BYTES)
    const imported = await client.fdToHandle(revoked)
    revoked.revoke()
    const other = device.open()
    expect(await codeOf(() => other.fdToHandle(revoked))).toBe('ENODEV')
    client.closeHandle(imported)
  })
})

function codeOrNothing(run: () => void): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}
