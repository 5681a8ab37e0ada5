import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Device, DmaEngine, Iommu, type SgTable } from '../../src/dma.ts'
import { codeOf, failure } from '../support/fails.ts'
import { PAGE, tableOf } from './memory.ts'

const device = new Device('camera')
const engine = () => new DmaEngine(device)
const scattered = [5, 2, 9].map((page) => ({ address: page * PAGE, length: PAGE }))

describe('an engine', () => {
  test('reads, writes, fills and copies through tables', async () => {
    const dma = engine()
    const [from, to] = [tableOf(device, scattered), tableOf(device, scattered.toReversed())]
    const original = from.bytes.slice()
    expect(await dma.read(from.table)).toEqual(original)
    expect(await dma.read(from.table, 4000, 200)).toEqual(original.slice(4000, 4200))
    await dma.write(to.table, 4090, Uint8Array.of(1, 2, 3))
    expect(to.bytes.slice(4089, 4094)).toEqual(Uint8Array.of(4089 % 251, 1, 2, 3, 4093 % 251))
    await dma.fill(to.table, 0, 10, 0xff)
    expect(to.bytes.slice(0, 10).every((byte) => byte === 0xff)).toBe(true)
    await dma.copy(from.table, 100, to.table, 5000, 3000)
    expect(to.bytes.slice(5000, 8000)).toEqual(original.slice(100, 3100))
    expect(from.bytes).toEqual(original)
    expect(dma.transferred).toBe(3 * PAGE + 200 + 3 + 10 + 3000)
  })

  test('reads at addresses, over entries whose addresses go on', async () => {
    const iommu = new Iommu()
    const split = new Device('dsp', { iommu, maxSegmentSize: PAGE })
    const { table, bytes } = tableOf(split, scattered)
    const dma = new DmaEngine(split)
    const start = table.at(0).dmaAddress
    expect(table.length).toBe(3)
    expect(await dma.readAt(table, start + 4000n, 5000)).toEqual(bytes.slice(4000, 9000))
    await dma.writeAt(table, start + 4095n, Uint8Array.of(9, 9))
    expect([bytes[4095], bytes[4096]]).toEqual([9, 9])
  })

  test('reads at addresses in the order of addresses, not of the buffer', async () => {
    // The second half of the buffer lies before the first.
    const halves = [0x3000, 0x2000].map((address) => ({ address, length: PAGE }))
    const { table, bytes } = tableOf(device, halves)
    const read = await engine().readAt(table, 0x2f00n, 0x200)
    expect(read).toEqual(Uint8Array.of(...bytes.slice(PAGE + 0xf00), ...bytes.slice(0, 0x100)))
  })

  test('takes the tables of a part of its device', async () => {
    const whole = new Device('camera', { subdevices: { luma: {} } })
    const { table, bytes } = tableOf(whole.subdevice('luma'), scattered)
    expect(await new DmaEngine(whole).read(table, 0, 4)).toEqual(bytes.slice(0, 4))
  })

  test('moves nothing for no bytes, and asks the memory for nothing', async () => {
    const { table, state } = tableOf(device, scattered)
    expect(await engine().read(table, 3 * PAGE)).toHaveLength(0)
    await engine().fill(table, 7, 0, 1)
    await engine().copy(table, 0, table, 0, 0)
    expect(await engine().readAt(table, 0n, 0)).toHaveLength(0)
    expect(state.accesses).toEqual([])
  })
})

describe('a fault', () => {
  test('names device, address and segment where the table ends', async () => {
    const { table, state } = tableOf(device, scattered)
    const error = await failure(() => engine().read(table, 3 * PAGE - 10, 11))
    expect(error).toMatchObject({
      code: 'EFAULT',
      errno: -14,
      rule: 'size',
      needed: '12289 bytes',
      got: '12288 bytes',
    })
    expect(error.message).toBe(
      'EFAULT: camera faults at its read of 0xa000 (after the last of 3 segments): the table ends there',
    )
    expect(state.accesses).toEqual([])
  })

  test('comes where the table has fewer bytes than the buffer', async () => {
    const { table } = tableOf(device, scattered, { byteLength: 4 * PAGE })
    expect(await codeOf(() => engine().read(table))).toBe('EFAULT')
  })

  test('comes at an address of no entry, before any byte is moved', async () => {
    const { table, bytes, state } = tableOf(device, scattered)
    const before = bytes.slice()
    for (const address of [0n, 0x1fffn, 0x3000n, 0xa000n, 2n ** 64n - 1n]) {
      expect(await codeOf(() => engine().readAt(table, address, 1))).toBe('EFAULT')
    }
    const error = await failure(() => engine().writeAt(table, 0x2ff0n, new Uint8Array(32).fill(1)))
    expect(error.message).toBe(
      'EFAULT: camera faults at its write of 0x3000 (in no segment): none of the 3 entries has that address',
    )
    expect([bytes, state.accesses]).toEqual([before, []])
  })

  test('comes where the mask of the engine does not reach', async () => {
    const whole = new Device('camera', { dmaMask: 0x5fffn, subdevices: { wide: { dmaMask: 0xffffn } } })
    const { table } = tableOf(whole.subdevice('wide'), scattered)
    const narrow = new DmaEngine(whole)
    expect(await narrow.read(table, 0, 2 * PAGE)).toHaveLength(2 * PAGE)
    const error = await failure(() => narrow.read(table))
    expect(error).toMatchObject({
      code: 'EFAULT',
      rule: 'address-range',
      needed: 'addresses up to 0x5fff',
      got: '0x9000',
    })
    expect(error.message).toContain('camera faults at its read of 0x9000 (segment 2 of 3)')
    expect(await codeOf(() => narrow.readAt(table, 0x9000n, 1))).toBe('EFAULT')
    expect(await new DmaEngine(whole.subdevice('wide')).read(table)).toHaveLength(3 * PAGE)
    const across = tableOf(whole.subdevice('wide'), [{ address: 0x5000, length: 2 * PAGE }]).table
    expect(await failure(() => narrow.read(across))).toMatchObject({ got: '0x6000' })
  })

  test('comes for the table of another device, and of the whole for a part', async () => {
    const whole = new Device('camera', { subdevices: { luma: {} } })
    const { table } = tableOf(whole, scattered)
    const others = [new Device('camera'), whole.subdevice('luma')]
    for (const other of others) {
      const error = await failure(() => new DmaEngine(other).read(table))
      expect([error.code, error.message]).toEqual(['EFAULT', expect.stringContaining('belongs to camera')])
    }
  })

  test('comes for addresses of another IOMMU', async () => {
    const whole = new Device('camera', { subdevices: { far: { iommu: new Iommu() } } })
    const { table } = tableOf(whole.subdevice('far'), scattered)
    expect(await codeOf(() => new DmaEngine(whole).read(table))).toBe('EFAULT')
  })

  test('comes against the direction of the table', async () => {
    const toDevice = tableOf(device, scattered, { direction: 'to-device' })
    const fromDevice = tableOf(device, scattered, { direction: 'from-device' })
    const dma = engine()
    expect(await dma.read(toDevice.table, 0, 1)).toHaveLength(1)
    await dma.fill(fromDevice.table, 0, 1, 7)
    await dma.copy(toDevice.table, 0, fromDevice.table, 0, 10)
    const wrong = [
      () => dma.write(toDevice.table, 0, new Uint8Array(1)),
      () => dma.fill(toDevice.table, 0, 1, 7),
      () => dma.read(fromDevice.table),
      () => dma.copy(fromDevice.table, 0, fromDevice.table, 0, 1),
      () => dma.copy(toDevice.table, 0, toDevice.table, 0, 1),
    ]
    for (const run of wrong) expect(await codeOf(run)).toBe('EFAULT')
    expect([toDevice.state.accesses, fromDevice.state.accesses]).toEqual([
      ['read 0+1', 'read 0+10'],
      ['write 0+1', 'write 0+10'],
    ])
  })
})

describe('an engine used wrongly', () => {
  test('after unmap gets EBADF, whatever it asks', async () => {
    const { table, state } = tableOf(device, scattered)
    const open = tableOf(device, scattered).table
    table.unmap()
    const dma = engine()
    const calls = [
      () => dma.read(table),
      () => dma.read(table, 0, 0),
      () => dma.readAt(table, 0x5000n, 1),
      () => dma.write(table, 0, new Uint8Array(1)),
      () => dma.writeAt(table, 0x5000n, new Uint8Array(1)),
      () => dma.fill(table, 0, 1, 1),
      () => dma.copy(table, 0, open, 0, 1),
      () => dma.copy(open, 0, table, 0, 1),
    ]
    for (const call of calls) expect(await codeOf(call)).toBe('EBADF')
    expect(state.accesses).toEqual([])
  })

  test('still gets EBADF when addresses were used before the unmap', async () => {
    const { table } = tableOf(device, scattered)
    const dma = engine()
    await dma.readAt(table, 0x5000n, 1)
    table.unmap()
    expect(await codeOf(() => dma.readAt(table, 0x5000n, 1))).toBe('EBADF')
  })

  test('gets the error of memory that has moved, and counts nothing', async () => {
    const { table, state } = tableOf(device, scattered)
    state.stale = true
    const dma = engine()
    expect(await codeOf(() => dma.read(table))).toBe('ESTALE')
    expect(dma.transferred).toBe(0)
  })

  test.each<[string, (dma: DmaEngine, table: SgTable) => Promise<unknown>]>([
    ['a negative offset', (dma, table) => dma.read(table, -1)],
    ['a length that is no integer', (dma, table) => dma.read(table, 0, 1.5)],
    ['an address that is a number', (dma, table) => dma.readAt(table, 5 as unknown as bigint, 1)],
    ['bytes that are a string', (dma, table) => dma.write(table, 0, 'abc' as unknown as Uint8Array)],
    ['a value that is no byte', (dma, table) => dma.fill(table, 0, 1, 256)],
    ['no table', (dma) => dma.read({} as SgTable)],
    ['no second table', (dma, table) => dma.copy(table, 0, undefined as unknown as SgTable, 0, 1)],
  ])('rejects %s with EINVAL', async (_, call) => {
    const { table, state } = tableOf(device, scattered)
    expect(await codeOf(() => call(engine(), table))).toBe('EINVAL')
    expect(state.accesses).toEqual([])
  })

  test('needs a device', () => {
    expect(() => new DmaEngine({} as Device)).toThrow(/EINVAL: expected a Device/)
  })
})

test('what an engine writes by addresses, another reads by offsets', async () => {
  const plan = fc.record({
    order: fc.shuffledSubarray([2, 3, 4, 7, 8, 11, 12], { minLength: 1 }),
    iommu: fc.boolean(),
    max: fc.constantFrom(PAGE, 2 * PAGE, 1 << 20),
    cut: fc.nat(),
    sgOffset: fc.nat(PAGE - 1),
  })
  await fc.assert(
    fc.asyncProperty(plan, async ({ order, iommu, max, cut, sgOffset }) => {
      const options = { maxSegmentSize: max, ...(iommu ? { iommu: new Iommu() } : {}) }
      const dsp = new Device('dsp', options)
      const segments = order.map((page) => ({ address: page * PAGE, length: PAGE }))
      const { table } = tableOf(dsp, segments, { sgOffset })
      const dma = new DmaEngine(dsp)
      const image = Uint8Array.from({ length: table.byteLength }, (_, i) => (i * 13 + cut) % 256)
      let at = 0
      for (const { dmaAddress, length } of table) {
        const part = cut % length
        await dma.writeAt(table, dmaAddress, image.subarray(at, at + part))
        await dma.writeAt(table, dmaAddress + BigInt(part), image.subarray(at + part, at + length))
        at += length
      }
      expect(await dma.read(table)).toEqual(image)
      expect(dma.transferred).toBe(2 * image.length)
    }),
    { numRuns: 100 },
  )
})
