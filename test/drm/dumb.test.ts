import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import { type DrmClient, DrmDevice, type DumbBuffer, MappedDumb } from '../../src/drm.ts'
import { bufinfo } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, failure } from '../support/fails.ts'
import { untilCollected } from '../support/until.ts'

const size = { width: 100, height: 10, bpp: 32 }

let device: DrmDevice
let client: DrmClient

useCensus()
beforeEach(() => {
  device = new DrmDevice('card0')
  client = device.open()
})
afterEach(() => device.close())

function filled(value: number): DumbBuffer {
  const dumb = client.createDumb(size)
  using mapped = client.mapDumb(dumb.handle)
  mapped.bytes.fill(value)
  return dumb
}

describe('createDumb', () => {
  test('gives a handle, the pitch and the size in whole pages', () => {
    // DR-04
    expect(client.createDumb(size)).toEqual({ handle: 1, pitch: 400, size: 4096 })
    expect(client.handles).toBe(1)
    expect(device.stats()).toEqual({ buffers: 1, clients: 1, framebuffers: 0, memory: undefined })
  })

  test('aligns the pitch as the device asks', () => {
    using display = new DrmDevice('card1', { pitchAlignment: 256 })
    expect(display.open().createDumb(size)).toEqual({ handle: 1, pitch: 512, size: 8192 })
  })

  test('reuses the lowest free handle, and never gives out 0', () => {
    // DR-56
    const handles = [1, 2, 3].map(() => client.createDumb(size).handle)
    expect(handles).toEqual([1, 2, 3])
    client.destroyDumb(2)
    expect(client.createDumb(size).handle).toBe(2)
    expect(client.createDumb(size).handle).toBe(4)
  })

  test.each([
    { width: 0 },
    { height: 0 },
    { bpp: 0 },
    { width: 2 ** 31 },
    { flags: 1 },
    { name: 'x'.repeat(32) },
    { with: 1 },
  ])('with %j is EINVAL and leaves nothing', (change) => {
    // DR-02, DR-03
    expect(codeNow(() => client.createDumb({ ...size, ...change }))).toBe('EINVAL')
    expect(device.stats().buffers).toBe(0)
  })

  test('gives zeroed memory, whatever was there before', () => {
    // DR-61
    for (let n = 0; n < 20; n++) {
      const { handle } = client.createDumb({ width: 64, height: 64, bpp: 32 })
      using mapped = client.mapDumb(handle)
      expect(mapped.bytes.every((byte) => byte === 0)).toBe(true)
      mapped.bytes.fill(0xff)
      client.destroyDumb(handle)
    }
  })

  test('names the buffer after device and sizes, or as it is told', () => {
    client.createDumb(size)
    client.createDumb({ ...size, name: 'mine' })
    using long = new DrmDevice('é'.repeat(31))
    long.open().createDumb(size)
    const names = bufinfo().map(({ name }) => name)
    expect(names).toEqual(['card0 100x10x32', 'mine', '100x10x32'])
  })
})

describe('a handle', () => {
  test('that is unknown is ENOENT to look up and EINVAL to take away', () => {
    for (const handle of [0, 1, 99, 2 ** 32 - 1]) {
      // DR-05, DR-08, DR-30
      expect(codeNow(() => client.mapDumb(handle))).toBe('ENOENT')
      expect(codeNow(() => client.handleToFd(handle))).toBe('ENOENT')
      // DR-06, DR-07
      expect(codeNow(() => client.destroyDumb(handle))).toBe('EINVAL')
      expect(codeNow(() => client.closeHandle(handle))).toBe('EINVAL')
    }
  })

  test.each(['1', -1, 1.5, 2 ** 32, undefined, null, {}])('cannot be %j', (handle) => {
    for (const use of ['mapDumb', 'handleToFd', 'destroyDumb', 'closeHandle'] as const) {
      expect(codeNow(() => client[use](handle as number))).toBe('EINVAL')
    }
  })

  test('is gone after closeHandle, and destroyDumb finds nothing', () => {
    // DR-54
    const { handle } = client.createDumb(size)
    client.closeHandle(handle)
    expect(codeNow(() => client.destroyDumb(handle))).toBe('EINVAL')
    expect(codeNow(() => client.closeHandle(handle))).toBe('EINVAL')
    expect(device.stats().buffers).toBe(0)
  })

  test('is private to its client', () => {
    // DR-44
    const { handle } = client.createDumb(size)
    const other = device.open()
    expect(codeNow(() => other.mapDumb(handle))).toBe('ENOENT')
    expect(other.createDumb(size).handle).toBe(handle)
  })
})

describe('a mapping', () => {
  test('is zeroed, as large as the buffer, and at the same offset each time', () => {
    // DR-22
    const { handle, size: bytes } = client.createDumb(size)
    using first = client.mapDumb(handle)
    using second = client.mapDumb(handle)
    expect(first).toBeInstanceOf(MappedDumb)
    expect([first.byteLength, first.bytes.length]).toEqual([bytes, bytes])
    expect(first.bytes.every((byte) => byte === 0)).toBe(true)
    expect(second.offset).toBe(first.offset)
    first.bytes[7] = 3
    expect(second.bytes[7]).toBe(3)
  })

  test('shows the same memory as the dma-buf', () => {
    // DR-23
    const { handle } = filled(5)
    using mapped = client.mapDumb(handle)
    using prime = client.handleToFd(handle, { access: 'read-write' })
    prime.withCpuAccessSync('read-write', (cpu) => {
      expect(cpu.bytes[9]).toBe(5)
      cpu.bytes[9] = 6
    })
    expect(mapped.bytes[9]).toBe(6)
  })

  test('may be shorter than the buffer, never longer', () => {
    // DR-24
    const { handle, size: bytes } = client.createDumb(size)
    using mapped = client.mapDumb(handle, { length: 100 })
    expect(mapped.bytes.length).toBe(100)
    expect(codeNow(() => client.mapDumb(handle, { length: bytes + 1 }))).toBe('EINVAL')
    expect(codeNow(() => client.mapDumb(handle, { length: 0 }))).toBe('EINVAL')
  })

  test('is found at its offset by a client that has a handle', async () => {
    // DR-26, DR-27, DR-28
    const { handle } = filled(4)
    const { offset } = client.mapDumb(handle)
    using mapped = client.mmap(offset)
    expect(mapped.bytes[0]).toBe(4)
    expect(codeNow(() => client.mmap(offset + 4096))).toBe('EINVAL')
    expect(codeNow(() => client.mmap(offset + 1))).toBe('EINVAL')
    expect(codeNow(() => client.mmap(0))).toBe('EINVAL')
    const other = device.open()
    expect(codeNow(() => other.mmap(offset))).toBe('EACCES')
    using prime = client.handleToFd(handle)
    await other.fdToHandle(prime)
    using theirs = other.mmap(offset)
    expect(theirs.bytes[0]).toBe(4)
  })

  test('outlives handle, client and device', () => {
    // DR-29
    const { handle } = filled(8)
    using mapped = client.mapDumb(handle)
    client.destroyDumb(handle)
    expect(mapped.bytes[3]).toBe(8)
    expect(codeNow(() => client.mmap(mapped.offset))).toBe('EACCES')
    device.close()
    expect(mapped.bytes[3]).toBe(8)
    mapped.close()
    expect(device.stats().buffers).toBe(0)
  })

  test('of a frozen buffer is refused: nobody would see what is drawn', () => {
    const { handle } = filled(1)
    using prime = client.handleToFd(handle)
    prime.freeze()
    expect(codeNow(() => client.mapDumb(handle))).toBe('EACCES')
    using again = client.handleToFd(handle)
    expect([again.frozen, client.fdToHandle(again)]).toEqual([true, handle])
  })

  test('has no bytes after close, which may come twice', async () => {
    const { handle } = client.createDumb(size)
    const mapped = client.mapDumb(handle)
    const { bytes } = mapped
    mapped.close()
    mapped.close()
    expect([mapped.closed, bytes.length]).toEqual([true, 0])
    expect((await failure(() => mapped.bytes)).code).toBe('EBADF')
  })

  test('that is forgotten is collected, and its buffer with it', async () => {
    const { handle } = client.createDumb(size)
    client.mapDumb(handle)
    client.destroyDumb(handle)
    await untilCollected(() => device.stats().buffers === 0, 'the buffer is given back')
  })

  test('keeps its memory as long as its bytes can be reached', async () => {
    const { handle } = filled(2)
    const { bytes } = client.mapDumb(handle)
    client.destroyDumb(handle)
    for (let n = 0; n < 5; n++) {
      await new Promise((resolve) => setImmediate(resolve))
      globalThis.gc?.()
    }
    expect(bytes[1]).toBe(2)
  })
})

describe('a client', () => {
  test('of the render node allocates and maps nothing, but PRIME works there', async () => {
    // DR-42
    const render = device.open({ node: 'render' })
    const { handle } = filled(7)
    expect(codeNow(() => render.createDumb(size))).toBe('EACCES')
    expect(codeNow(() => render.mapDumb(1))).toBe('EACCES')
    expect(codeNow(() => render.destroyDumb(1))).toBe('EACCES')
    expect(codeNow(() => render.removeFramebuffer(1))).toBe('EACCES')
    using prime = client.handleToFd(handle)
    const imported = await render.fdToHandle(prime)
    render.handleToFd(imported).close()
    render.closeHandle(imported)
    expect([client.node, render.node]).toEqual(['primary', 'render'])
  })

  test('that is closed has no handles, and everything says EBADF', async () => {
    // DR-59
    const { handle } = client.createDumb(size)
    using prime = client.handleToFd(handle)
    client.close()
    client.close()
    expect([client.closed, client.handles]).toEqual([true, 0])
    const uses = [
      () => client.createDumb(size),
      () => client.mapDumb(handle),
      () => client.mmap(0),
      () => client.destroyDumb(handle),
      () => client.closeHandle(handle),
      () => client.handleToFd(handle),
      () => client.fdToHandle(prime),
      () => client.addFramebuffer({ width: 1, height: 1, fourcc: 'R8', planes: [{ handle, stride: 1 }] }),
      () => client.removeFramebuffer(1),
    ]
    expect(uses.map((use) => codeNow(use))).toEqual(uses.map(() => 'EBADF'))
  })

  test('that is forgotten is closed by the collector', async () => {
    const before = device.stats().clients
    device.open().createDumb(size)
    await untilCollected(() => device.stats().clients === before, 'the client is closed')
    expect(device.stats().buffers).toBe(0)
  })
})

describe('a device', () => {
  test('closes its clients and opens no more', () => {
    client.createDumb(size)
    const other = device.open()
    device.close()
    device.close()
    expect([device.closed, client.closed, other.closed]).toEqual([true, true, true])
    expect(device.stats()).toMatchObject({ buffers: 0, clients: 0 })
    expect(codeNow(() => device.open())).toBe('ENODEV')
  })

  test.each<[unknown, unknown]>([
    ['', {}],
    ['', { device: new Device('screen') }],
    [7, {}],
    ['card', { memory: 0 }],
    ['card', { memory: 4097 }],
    ['card', { memory: '1' }],
    ['card', { pitchAlignment: 0 }],
    ['card', { device: {} }],
    ['card', { memroy: 4096 }],
  ])('cannot be %j with wrong options (%#)', (name, drmOptions) => {
    expect(codeNow(() => new DrmDevice(name as string, drmOptions as object))).toBe('EINVAL')
  })

  test('is opened as primary or render node only', () => {
    expect(codeNow(() => device.open({ node: 'control' as 'render' }))).toBe('EINVAL')
    expect(codeNow(() => device.open({ nod: 'render' } as object))).toBe('EINVAL')
  })
})
