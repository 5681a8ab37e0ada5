import { describe, expect, test } from 'vitest'
import { unconstrained } from '../../src/dma/constraints.ts'
import { Device, type DeviceOptions, Iommu, presets } from '../../src/dma.ts'
import { codeNow } from '../support/fails.ts'

describe('a device', () => {
  test('that says nothing takes any memory and any linear image', () => {
    const device = new Device('anything')
    expect(device.constraints).toEqual(unconstrained)
    expect([device.name, device.parent, device.coherent, device.iommu]).toEqual([
      'anything',
      undefined,
      true,
      undefined,
    ])
    expect(device.image.modifiers).toEqual([0n])
    expect(device.subdevices).toEqual([])
  })

  test('keeps what it says', () => {
    const options = {
      dmaMask: 0xffff_ffffn,
      minSegmentSize: 4096,
      maxSegmentSize: 1 << 20,
      segmentBoundaryMask: 0xff_ffffn,
      maxSegments: 16,
    }
    expect(new Device('camera', { ...options, coherent: false })).toMatchObject({
      constraints: options,
      coherent: false,
    })
  })

  test('behind an IOMMU asks nothing of memory itself', () => {
    const iommu = new Iommu()
    const device = new Device('gpu', { iommu, dmaMask: 0xffff_ffffn, maxSegments: 1 })
    expect(device.memoryConstraints).toEqual(unconstrained)
    expect(device.constraints.maxSegments).toBe(1)
    expect(new Device('plain', { maxSegments: 1 }).memoryConstraints.maxSegments).toBe(1)
  })

  test('behind an IOMMU with large pages still asks for few runs where it takes few segments', () => {
    const iommu = new Iommu({ pageSize: 65_536 })
    const device = new Device('npu', { iommu, maxSegments: 2, dmaMask: 0xffff_ffffn })
    expect(device.memoryConstraints).toEqual({ ...unconstrained, maxSegments: 2 })
  })
})

describe('a subdevice', () => {
  const iommu = new Iommu()
  const camera = new Device('camera', {
    dmaMask: 0xffff_ffffn,
    maxSegments: 4,
    iommu,
    coherent: false,
    image: { strideAlignment: 32, formats: ['NV12'] },
    subdevices: {
      luma: { dmaMask: 0xff_ffffn },
      chroma: {
        coherent: true,
        image: { strideAlignment: 64 },
        subdevices: { cb: { maxSegments: 1 } },
      },
    },
  })

  test('has a name and a parent, and is always the same object', () => {
    const luma = camera.subdevice('luma')
    expect([luma.name, luma.parent]).toEqual(['camera.luma', camera])
    expect(camera.subdevice('luma')).toBe(luma)
    expect(camera.subdevices).toEqual(['luma', 'chroma'])
    expect(camera.subdevice('chroma').subdevice('cb').name).toBe('camera.chroma.cb')
  })

  test('is as its parent where it does not say otherwise', () => {
    const luma = camera.subdevice('luma')
    expect(luma.constraints).toEqual({ ...camera.constraints, dmaMask: 0xff_ffffn })
    expect([luma.iommu, luma.coherent, luma.image]).toEqual([iommu, false, camera.image])
    const cb = camera.subdevice('chroma').subdevice('cb')
    expect([cb.constraints.maxSegments, cb.coherent]).toEqual([1, true])
    expect(cb.image).toEqual({ ...camera.image, strideAlignment: 64 })
  })

  test('is part of its parents, and they are not part of it', () => {
    const cb = camera.subdevice('chroma').subdevice('cb')
    expect([cb.isPartOf(camera), cb.isPartOf(cb), camera.isPartOf(cb)]).toEqual([true, true, false])
    expect(cb.isPartOf(camera.subdevice('luma'))).toBe(false)
  })

  test('that is not there is an error that names those that are', () => {
    expect(() => camera.subdevice('lumen')).toThrow(/'luma' or 'chroma'.*received "lumen"/)
    expect(() => new Device('plain').subdevice('luma')).toThrow(/it has no subdevices/)
  })
})

test.each<[string, unknown]>([
  ['a misspelled option', { dmamask: 1n }],
  ['a mask that is no bigint', { dmaMask: 0xffff_ffff }],
  ['a mask that reaches no whole page', { dmaMask: 0xffen }],
  ['a mask of more than 64 bits', { dmaMask: 2n ** 64n }],
  ['a boundary that is no power of two', { segmentBoundaryMask: 0x1_2fffn }],
  ['a boundary inside a page', { segmentBoundaryMask: 0x7ffn }],
  ['segments shorter than a page', { maxSegmentSize: 4095 }],
  ['a minimum above the maximum', { minSegmentSize: 8193, maxSegmentSize: 12_287 }],
  ['a minimum above the boundary', { minSegmentSize: 65_537, segmentBoundaryMask: 0xffffn }],
  ['no segments', { maxSegments: 0 }],
  ['coherent as a word', { coherent: 'no' }],
  ['an IOMMU that is none', { iommu: {} }],
  ['modifiers that are no bigints', { image: { modifiers: [0] } }],
  ['formats that are no list', { image: { formats: 'NV12' } }],
  ['a misspelled image rule', { image: { stride: 32 } }],
  ['a greatest stride below the least', { image: { minStride: 64, maxStride: 32 } }],
  ['subdevices in a list', { subdevices: [{}] }],
  ['a fault in a subdevice', { subdevices: { luma: { maxSegments: 1.5 } } }],
  ['a subdevice without a name', { subdevices: { '': {} } }],
  ['a subdevice whose full name is too long', { subdevices: { ['x'.repeat(60)]: {} } }],
])('a device with %s is refused', (_, options) => {
  expect(codeNow(() => new Device('camera', options as DeviceOptions))).toBe('EINVAL')
})

test('a device without a name is refused', () => {
  expect(codeNow(() => new Device(''))).toBe('EINVAL')
  expect(codeNow(() => new Device(7 as unknown as string))).toBe('EINVAL')
})

describe('the presets', () => {
  test.each(Object.entries(presets))(
    '%s makes a new device each time, by its own name or another',
    (_, make) => {
      const [one, other] = [make(), make('mine')]
      expect(one).toBeInstanceOf(Device)
      expect(one.name.length).toBeGreaterThan(0)
      expect([other.name, other === one]).toEqual(['mine', false])
    },
  )

  test('have the limits of the hardware', () => {
    expect(presets.vc4().constraints).toMatchObject({ dmaMask: 0xffff_ffffn, maxSegments: 1 })
    expect(presets.v3d().iommu?.pageSize).toBe(4096)
    expect(presets.v3d().iommu).not.toBe(presets.v3d().iommu)
    expect(presets.amdgpuDisplay().image.strideAlignment).toBe(256)
    expect(presets.unicam()).toMatchObject({ iommu: undefined, constraints: { dmaMask: 0xffff_ffffn } })
    expect(presets.xhci().constraints).toMatchObject({ maxSegmentSize: 65_536, segmentBoundaryMask: 0xffffn })
  })
})
