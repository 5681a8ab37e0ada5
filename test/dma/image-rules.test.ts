import { expect, test } from 'vitest'
import { checkImageFor, Device, type DeviceImage, presets } from '../../src/dma.ts'

function image(changes: Partial<DeviceImage> & { stride?: number; byteLength?: number } = {}): DeviceImage {
  const { stride = 2560, byteLength = 2560 * 480, ...rest } = changes
  const planes = [{ offset: 0, stride, byteLength }]
  return { fourcc: 'XR24', modifier: 0n, width: 640, height: 480, planes, ...rest }
}

test('an image that keeps every rule is taken', () => {
  expect(checkImageFor(presets.amdgpuDisplay(), image())).toBeUndefined()
  expect(checkImageFor(new Device('any'), image())).toBeUndefined()
})

test('a stride must be a multiple of what the device reads at a time', () => {
  expect(checkImageFor(presets.amdgpuDisplay(), image({ stride: 2600, byteLength: 2600 * 480 }))).toEqual({
    rule: 'stride',
    needed: 'a multiple of 256 bytes',
    got: '2600 bytes',
  })
})

test('a stride must lie between the bounds of the device, and hold a row', () => {
  const device = new Device('narrow', { image: { minStride: 64, maxStride: 4096 } })
  const stride = (value: number) => checkImageFor(device, image({ stride: value, byteLength: 1 << 24 }))
  expect(stride(63)).toEqual({ rule: 'stride', needed: 'at least 64 bytes', got: '63 bytes' })
  expect(stride(4097)).toEqual({ rule: 'stride', needed: 'at most 4096 bytes', got: '4097 bytes' })
  expect([stride(64), stride(4096)]).toEqual([undefined, undefined])
  const planes = [{ offset: 0, stride: 2048, byteLength: 1 << 24, rowBytes: 2560 }]
  expect(checkImageFor(device, image({ planes }))?.needed).toBe('at least 2560 bytes')
})

test('a modifier and a format must be known', () => {
  const tiled = 0x0700_0000_0000_0001n
  expect(checkImageFor(presets.amdgpuDisplay(), image({ modifier: tiled }))).toEqual({
    rule: 'modifier',
    needed: 'a modifier of linear',
    got: '0x700000000000001',
  })
  expect(checkImageFor(presets.vc4(), image({ modifier: tiled }))).toBeUndefined()
  const device = new Device('video', { image: { formats: ['NV12', 'YUYV'] } })
  expect(checkImageFor(device, image())).toEqual({
    rule: 'modifier',
    needed: 'a format of NV12, YUYV',
    got: 'XR24',
  })
})

test('a buffer must hold every row, but of the last one only its pixels', () => {
  const device = new Device('any')
  const planes = [{ offset: 100, stride: 3000, byteLength: 100 + 3000 * 479 + 2560, rowBytes: 2560 }]
  expect(checkImageFor(device, image({ planes }))).toBeUndefined()
  const short = [{ ...planes[0]!, byteLength: planes[0]!.byteLength - 1 }]
  expect(checkImageFor(device, image({ planes: short }))).toEqual({
    rule: 'size',
    needed: '1439660 bytes for 480 rows',
    got: '1439659 bytes',
  })
})

test('a buffer must hold the rows up to the height that the device works in', () => {
  const device = new Device('encoder', { image: { heightAlignment: 16 } })
  const nv12 = (lumaRows: number) =>
    image({
      fourcc: 'NV12',
      height: 1080,
      planes: [
        { offset: 0, stride: 1920, byteLength: 1920 * lumaRows },
        { offset: 0, stride: 1920, byteLength: 1920 * 540, rows: 540 },
      ],
    })
  expect(checkImageFor(device, nv12(1080))).toEqual({
    rule: 'size',
    needed: `${1920 * 1088} bytes for 1088 rows`,
    got: `${1920 * 1080} bytes in plane 0`,
  })
  expect(checkImageFor(device, nv12(1088))?.got).toBe(`${1920 * 540} bytes in plane 1`)
})
