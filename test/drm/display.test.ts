import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PhysicalMemory } from '../../src/dma/physical-memory.ts'
import { Device } from '../../src/dma.ts'
import { Display, type DrmClient, DrmDevice, type ImageDescription, planeLayout } from '../../src/drm.ts'
import { bufinfo, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'

const heap = new SystemHeap()
let screen: Device
let display: Display

useCensus()
beforeEach(() => {
  screen = new Device('screen')
  display = new Display(screen)
})
afterEach(() => display.close())

/** An image of 4 by 3 pixels of one byte, with a stride of 8, that begins at byte 16. */
function image(buffer: DmaBuf, change: Partial<ImageDescription> = {}): ImageDescription {
  const planes = [{ buffer, offset: 16, stride: 8 }]
  return { width: 4, height: 3, fourcc: 'R8', modifier: 0n, planes, ...change }
}

function painted(value: number, byteLength = 4096): DmaBuf {
  const buffer = heap.allocateSync(byteLength, { name: `painted ${value}` })
  buffer.withCpuAccessSync('write', (cpu) => {
    cpu.bytes.fill(0xee)
    for (let y = 0; y < 3; y++) for (let x = 0; x < 4; x++) cpu.bytes[16 + y * 8 + x] = value + y * 4 + x
  })
  return buffer
}

const attached = (name: string) => bufinfo().find((info) => info.name === name)?.attachedDevices

describe('a display', () => {
  test('shows the pixels of an image, and nothing between its lines', async () => {
    using buffer = painted(1)
    const picture = await display.show(image(buffer))
    expect(picture).toMatchObject({ width: 4, height: 3 })
    expect(picture.format.fourcc).toBe('R8  ')
    expect(picture.planes.map((plane) => [...plane])).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]])
    expect(display.transferred).toBe(12)
  })

  test('keeps what it shows attached and mapped, and lets it go for the next', async () => {
    const one = painted(1)
    const two = painted(50)
    await display.show(image(one))
    one.close()
    expect(attached('painted 1')).toMatchObject([{ name: 'screen', mapped: true }])
    expect((await display.scan())?.planes[0]?.[0]).toBe(1)
    await display.show(image(two))
    two.close()
    expect(attached('painted 1')).toBeUndefined()
    display.blank()
    expect(attached('painted 50')).toBeUndefined()
    expect(await display.scan()).toBeUndefined()
  })

  test('sees what is drawn into the picture that it shows', async () => {
    using buffer = painted(1)
    await display.show(image(buffer))
    buffer.withCpuAccessSync('write', (cpu) => {
      cpu.bytes[16] = 200
    })
    expect((await display.scan())?.planes[0]?.[0]).toBe(200)
  })

  test('shows planes in one buffer and in several', async () => {
    const layout = planeLayout({ fourcc: 'NV12', width: 4, height: 4 })
    using all = heap.allocateSync(layout.byteLength)
    all.withCpuAccessSync('write', (cpu) => cpu.bytes.set(Array.from(cpu.bytes, (_, i) => i)))
    using chroma = heap.allocateSync(8)
    chroma.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(9))
    const nv12 = { width: 4, height: 4, fourcc: 'NV12', modifier: 0n }
    const planes = layout.planes.map(({ offset, stride }) => ({ buffer: all, offset, stride }))
    const together = await display.show({ ...nv12, planes })
    expect(together.planes.map((plane) => [...plane])).toEqual([
      Array.from({ length: 16 }, (_, i) => i),
      Array.from({ length: 8 }, (_, i) => 16 + i),
    ])
    const apart = await display.show({
      ...nv12,
      planes: [planes[0]!, { buffer: chroma, offset: 0, stride: 4 }],
    })
    expect([...apart.planes[1]!]).toEqual(Array(8).fill(9))
  })

  test('shows a framebuffer of a DRM device', async () => {
    using device = new DrmDevice('card0', { device: screen })
    const client = device.open()
    const { handle, pitch } = client.createDumb({ width: 4, height: 2, bpp: 8 })
    using mapped = client.mapDumb(handle)
    mapped.bytes.set([1, 2, 3, 4, 5, 6, 7, 8])
    const framebuffer = client.addFramebuffer({
      ...{ width: 4, height: 2, fourcc: 'R8' },
      planes: [{ handle, stride: pitch }],
    })
    expect([...(await display.show(framebuffer)).planes[0]!]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    framebuffer.remove()
    expect(await codeOf(() => display.show(framebuffer))).toBe('ENOENT')
    expect((await display.scan())?.planes[0]?.[7]).toBe(8)
  })

  test('brings what it shows into the memory of its device, and holds it there', async () => {
    const size = { width: 64, height: 64, bpp: 32 }
    using device = new DrmDevice('card0', { device: screen, memory: 4 * 4096 })
    const client = device.open()
    const show = (handle: number, client: DrmClient) => {
      using framebuffer = client.addFramebuffer({
        ...{ width: 64, height: 64, fourcc: 'XR24' },
        planes: [{ handle, stride: 256 }],
      })
      return display.show(framebuffer)
    }
    const [a, b] = [client.createDumb(size).handle, client.createDumb(size).handle]
    await show(a, client)
    // There is room for one, and that one is on the screen.
    expect(await codeOf(() => show(b, client))).toBe('ENOMEM')
    display.blank()
    await show(b, client)
    expect(device.stats().memory).toMatchObject({ evictions: 1, recalls: 1 })
  })

  test('that wants contiguous memory gets it from a buffer that may move, and refuses another', async () => {
    const contiguous = new Display(new Device('vc4', { maxSegments: 1 }))
    const memory = new PhysicalMemory()
    const scattering = new SystemHeap({ memory })
    const shattered = memory.fragment({ longest: 4096 })
    using movable = await scattering.allocate(16 * 4096, { movable: true })
    using fixed = scattering.allocateSync(16 * 4096)
    await using first = await movable.attach(screen)
    await using second = await fixed.attach(screen)
    for (const attachment of [first, second]) (await attachment.map('to-device')).unmap()
    shattered[Symbol.dispose]()
    expect((await contiguous.show(image(movable))).planes[0]?.length).toBe(12)
    const error = await failure(() => contiguous.show(image(fixed)))
    expect(error).toMatchObject({ code: 'EINVAL', rule: 'contiguous' })
    // It goes on showing what it did.
    expect((await contiguous.scan())?.planes[0]?.length).toBe(12)
    contiguous.close()
  })

  test.each<[string, (buffer: DmaBuf) => unknown, string]>([
    ['nothing', () => undefined, 'EINVAL'],
    ['a buffer', (buffer) => buffer, 'EINVAL'],
    ['an image beyond its buffer', (buffer) => image(buffer, { height: 600 }), 'EINVAL'],
    ['an unknown format', (buffer) => image(buffer, { fourcc: 'ZZZZ' }), 'EINVAL'],
    ['an image of a modifier it does not know', (buffer) => image(buffer, { modifier: 5n }), 'EINVAL'],
  ])('does not show %s', async (_, what, code) => {
    using buffer = painted(1)
    expect(await codeOf(() => display.show(what(buffer) as ImageDescription))).toBe(code)
    expect(attached('painted 1')).toEqual([])
  })

  test('checks strides as its device asks', async () => {
    const strict = new Display(new Device('amdgpu', { image: { strideAlignment: 256 } }))
    using buffer = painted(1)
    expect(await failure(() => strict.show(image(buffer)))).toMatchObject({ code: 'EINVAL', rule: 'stride' })
    strict.close()
  })

  test('shows the last of several that are asked for at once', async () => {
    const buffers = [10, 20, 30].map((value) => painted(value))
    const pictures = await Promise.all(buffers.map((buffer) => display.show(image(buffer))))
    for (const buffer of buffers) buffer.close()
    expect(pictures.map(({ planes }) => planes[0]?.[0])).toEqual([10, 20, 30])
    expect((await display.scan())?.planes[0]?.[0]).toBe(30)
    expect([10, 20].map((value) => attached(`painted ${value}`))).toEqual([undefined, undefined])
  })

  test('that is closed shows nothing and holds nothing, also when it is closed while showing', async () => {
    using buffer = painted(1)
    const showing = display.show(image(buffer))
    display.close()
    display.close()
    expect(await codeOf(() => showing)).toBe('EBADF')
    expect(await codeOf(() => display.show(image(buffer)))).toBe('EBADF')
    expect(await codeOf(() => display.scan())).toBe('EBADF')
    expect(display.closed).toBe(true)
    expect(attached('painted 1')).toEqual([])
  })

  test('shows a closed buffer as little as one that is revoked', async () => {
    const closed = painted(1)
    closed.close()
    expect(await codeOf(() => display.show(image(closed)))).toBe('EBADF')
    using revoked = painted(2)
    await display.show(image(revoked))
    revoked.revoke()
    expect(await codeOf(() => display.scan())).toBe('ENODEV')
    expect(await codeOf(() => display.show(image(revoked)))).toBe('ENODEV')
  })

  test('needs a device, and known options', async () => {
    expect(codeNow(() => new Display({} as Device))).toBe('EINVAL')
    using buffer = painted(1)
    expect(await codeOf(() => display.show(image(buffer), { signl: 1 } as object))).toBe('EINVAL')
    const signal = AbortSignal.abort()
    expect(await codeOf(() => display.show(image(buffer), { signal }))).toBe('ABORT_ERR')
    expect(attached('painted 1')).toEqual([])
  })
})
