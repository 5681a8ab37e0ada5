import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import {
  type DrmClient,
  DrmDevice,
  type Framebuffer,
  type FramebufferRequest,
  modifiers,
  planeLayout,
} from '../../src/drm.ts'
import { SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, failure } from '../support/fails.ts'
import { untilCollected } from '../support/until.ts'

const heap = new SystemHeap()
let device: DrmDevice
let client: DrmClient
let handle: number

useCensus()
beforeEach(() => {
  device = new DrmDevice('card0')
  client = device.open()
  // Pitch 400, one page.
  ;({ handle } = client.createDumb({ width: 100, height: 10, bpp: 32 }))
})
afterEach(() => device.close())

function request(change: Partial<FramebufferRequest> = {}): FramebufferRequest {
  return { width: 100, height: 10, fourcc: 'XR24', planes: [{ handle, stride: 400 }], ...change }
}

describe('a framebuffer', () => {
  test('has a number and is what it was made of', () => {
    const framebuffer = client.addFramebuffer(request())
    expect(framebuffer).toMatchObject({ id: 1, width: 100, height: 10, fourcc: 'XR24', modifier: 0n })
    expect(framebuffer.removed).toBe(false)
    expect(client.addFramebuffer(request()).id).toBe(2)
    expect(device.stats().framebuffers).toBe(2)
  })

  test('keeps the memory of its planes when their handles are gone', () => {
    const framebuffer = client.addFramebuffer(request())
    client.destroyDumb(handle)
    expect(device.stats().buffers).toBe(1)
    framebuffer.remove()
    framebuffer.remove()
    expect([framebuffer.removed, device.stats().buffers]).toEqual([true, 0])
  })

  test('keeps an imported buffer, whose handle and DmaBuf may be closed at once', async () => {
    const foreign = heap.allocateSync(4096)
    const imported = await client.fdToHandle(foreign)
    using framebuffer = client.addFramebuffer(request({ planes: [{ handle: imported, stride: 400 }] }))
    client.closeHandle(imported)
    foreign.close()
    expect(framebuffer.removed).toBe(false)
  })

  test('takes planes by dma-buf when they are imported', async () => {
    using foreign = heap.allocateSync(4096)
    const planes = [{ buffer: foreign, stride: 400 }]
    expect(codeNow(() => client.addFramebuffer(request({ planes })))).toBe('ENOENT')
    await client.fdToHandle(foreign)
    client.addFramebuffer(request({ planes })).remove()
  })

  test('can have several planes in one buffer', () => {
    const layout = planeLayout({ fourcc: 'NV12', width: 64, height: 48 })
    const dumb = client.createDumb({ width: 64, height: 48 * 1.5, bpp: 8 })
    expect(dumb.size).toBeGreaterThanOrEqual(layout.byteLength)
    const planes = layout.planes.map(({ offset, stride }) => ({ handle: dumb.handle, offset, stride }))
    using framebuffer = client.addFramebuffer({ width: 64, height: 48, fourcc: 'NV12', planes })
    client.destroyDumb(dumb.handle)
    client.destroyDumb(handle)
    expect(device.stats().buffers).toBe(1)
    framebuffer.remove()
    expect(device.stats().buffers).toBe(0)
  })

  test.each<[string, Partial<FramebufferRequest>, object]>([
    ['an unknown format', { fourcc: 'ZZZZ' }, { code: 'EINVAL' }],
    ['no width', { width: 0 }, { code: 'EINVAL' }],
    ['no height', { height: 0 }, { code: 'EINVAL' }],
    ['too few planes', { fourcc: 'NV12' }, { code: 'EINVAL' }],
    [
      'a pitch too short',
      { width: 101 },
      { code: 'EINVAL', rule: 'stride', needed: 'at least 404', got: '400' },
    ],
    [
      'a line too many',
      { height: 11 },
      { code: 'EINVAL', rule: 'size', needed: '4400 bytes', got: '4096 bytes' },
    ],
    ['a foreign modifier', { modifier: 1n << 56n }, { code: 'EINVAL', rule: 'modifier' }],
    ['an option that is none', { pitches: [] } as object, { code: 'EINVAL' }],
  ])('with %s is refused', async (_, change, expected) => {
    expect(await failure(() => client.addFramebuffer(request(change)))).toMatchObject(expected)
    expect(device.stats().framebuffers).toBe(0)
  })

  test.each<[string, object, string]>([
    ['an unknown handle', { handle: 99, stride: 400 }, 'ENOENT'],
    ['no handle', { stride: 400 }, 'EINVAL'],
    ['handle 0', { handle: 0, stride: 400 }, 'ENOENT'],
    ['no stride', { handle: 1 }, 'EINVAL'],
    ['a misspelled offset', { handle: 1, stride: 400, ofset: 4 }, 'EINVAL'],
    ['a negative offset', { handle: 1, stride: 400, offset: -4 }, 'EINVAL'],
    ['an offset beyond', { handle: 1, stride: 400, offset: 97 }, 'EINVAL'],
  ])('with %s in a plane is refused', (_, plane, code) => {
    const planes = [plane] as unknown as FramebufferRequest['planes']
    expect(codeNow(() => client.addFramebuffer(request({ planes })))).toBe(code)
  })

  test('with a handle and a buffer in one plane is refused', () => {
    using buffer = heap.allocateSync(4096)
    const planes = [{ handle, buffer, stride: 400 }]
    expect(codeNow(() => client.addFramebuffer(request({ planes })))).toBe('EINVAL')
  })

  test('must suit what the device does with images', async () => {
    const image = { strideAlignment: 256, modifiers: [0n, 1n], formats: ['XR24'] }
    using display = new DrmDevice('card1', { device: new Device('display', { image }) })
    const there = display.open()
    const dumb = there.createDumb({ width: 100, height: 10, bpp: 32 })
    expect(dumb.pitch).toBe(512)
    const planes = [{ handle: dumb.handle, stride: dumb.pitch }]
    const good = { width: 100, height: 10, fourcc: 'XR24', planes }
    there.addFramebuffer(good)
    there.addFramebuffer({ ...good, modifier: 1n })
    there.addFramebuffer({ ...good, modifier: modifiers.invalid })
    const refused = (change: Partial<FramebufferRequest>) =>
      failure(() => there.addFramebuffer({ ...good, ...change }))
    expect(await refused({ planes: [{ handle: dumb.handle, stride: 400 }] })).toMatchObject({
      rule: 'stride',
    })
    expect(await refused({ fourcc: 'AR24' })).toMatchObject({ rule: 'modifier', code: 'EINVAL' })
    expect(await refused({ modifier: 2n })).toMatchObject({ rule: 'modifier', code: 'EINVAL' })
  })

  test('is removed by its number, once, by its own client', () => {
    const { id } = client.addFramebuffer(request())
    const other = device.open()
    expect(codeNow(() => other.removeFramebuffer(id))).toBe('ENOENT')
    client.removeFramebuffer(id)
    expect(codeNow(() => client.removeFramebuffer(id))).toBe('ENOENT')
    expect(codeNow(() => client.removeFramebuffer(0))).toBe('ENOENT')
    expect(codeNow(() => client.removeFramebuffer('1' as unknown as number))).toBe('EINVAL')
  })

  test('is removed with its client', () => {
    const framebuffer = client.addFramebuffer(request())
    client.close()
    expect([framebuffer.removed, device.stats().buffers]).toEqual([true, 0])
    framebuffer.remove()
  })

  test('keeps its client open, and goes with it when both are forgotten', async () => {
    const forgotten = () => {
      const one = device.open()
      const dumb = one.createDumb({ width: 100, height: 10, bpp: 32 })
      return one.addFramebuffer(request({ planes: [{ handle: dumb.handle, stride: 400 }] }))
    }
    const holder: { framebuffer?: Framebuffer } = { framebuffer: forgotten() }
    for (let n = 0; n < 5; n++) {
      await new Promise((resolve) => setImmediate(resolve))
      globalThis.gc?.()
    }
    expect(holder.framebuffer).toMatchObject({ removed: false })
    delete holder.framebuffer
    await untilCollected(() => device.stats().framebuffers === 0, 'the framebuffer is removed')
  })
})
