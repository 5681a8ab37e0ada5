import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { Device, DmaEngine } from '../../src/dma.ts'
import { without } from '../../src/dmabuf/staging.ts'
import { type AllocateOptions, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { warmSharing } from '../support/warm-sharing.ts'

beforeAll(warmSharing)
useCensus()

const SIZE = 8192
const heap = new SystemHeap()
const strict = (more: Omit<AllocateOptions, 'movable' | 'delayed'> = {}) =>
  heap.allocateSync(SIZE, { coherency: 'strict', ...more })

describe('a strict buffer', () => {
  test('shows another process what was stored only after the end, and after its own begin', async () => {
    await using puppet = ProcessPuppet.start()
    using buffer = strict()
    await puppet.ask('hold', {}, [buffer])
    expect((await puppet.ask('coherency')).message).toMatchObject({ coherency: 'strict', zeroCopy: false })
    const value = async () => (await puppet.ask('bareLook', { at: 100 })).message['value']
    expect(await value()).toBe(0)
    const cpu = buffer.beginCpuAccessSync('write')
    cpu.bytes[100] = 5
    await puppet.ask('begin', { access: 'read' })
    expect(await value()).toBe(0)
    await puppet.ask('end')
    cpu.end()
    expect(await value()).toBe(0)
    await puppet.ask('begin', { access: 'read' })
    expect(await value()).toBe(5)
    await puppet.ask('end')
    await puppet.ask('drop')
  })

  test('loses what is stored outside a bracket, in a read bracket, beyond the range, and after the end', () => {
    using buffer = strict()
    const cpu = buffer.beginCpuAccessSync('write', { offset: 0, length: 100 })
    const whole = buffer.withCpuAccessSync('read', ({ bytes }) => bytes)
    whole[0] = 1
    whole[100] = 2
    cpu.end()
    whole[1] = 3
    buffer.withCpuAccessSync('read', ({ bytes }) => {
      expect([bytes[0], bytes[1], bytes[100]]).toEqual([1, 0, 0])
      bytes[2] = 4
    })
    expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[2])).toBe(0)
  })

  test('does not fill over what a write bracket of the same process has open', () => {
    using buffer = strict()
    const cpu = buffer.beginCpuAccessSync('write', { offset: 10, length: 10 })
    cpu.bytes.fill(1)
    expect(buffer.withCpuAccessSync('read', ({ bytes }) => [bytes[9], bytes[10], bytes[19]])).toEqual([
      0, 1, 1,
    ])
    cpu.end()
  })

  test('shows the same memory as long as its wrapper is open, and nothing afterwards', () => {
    const buffer = strict()
    expect(buffer.zeroCopy).toBe(false)
    const views = [0, 1].map(() => buffer.withCpuAccessSync('read', ({ bytes }) => bytes))
    expect(views[0]).toBe(views[1])
    using range = buffer.mmap({ offset: 4096 })
    expect(range.bytes.buffer).toBe(views[0]?.buffer)
    expect(range.bytes.byteOffset).toBe(4096)
    buffer.close()
    expect(views[0]?.length).toBe(0)
  })

  test('drops what a bracket stored that was never ended', () => {
    const buffer = strict()
    using other = heap.allocateSync(1)
    const cpu = buffer.beginCpuAccessSync('write')
    cpu.bytes[0] = 1
    buffer.close()
    expect(cpu.ended).toBe(true)
    expect(other.closed).toBe(false)
  })

  test('copies what its views show, verified when nobody disturbs it', () => {
    using buffer = strict({ sharing: 'read-only' })
    buffer.withCpuAccessSync('write', ({ bytes }) => bytes.fill(7))
    buffer.withCpuAccessSync('read', (cpu) => {
      expect(cpu.copy({ offset: 10, length: 3, verified: true })).toEqual({
        bytes: Uint8Array.of(7, 7, 7),
        verified: true,
      })
      cpu.bytes[11] = 1
      expect(cpu.copy({ offset: 10, length: 3 })).toEqual({ bytes: Uint8Array.of(7, 1, 7), verified: false })
    })
  })

  test('lets devices at the storage itself', async () => {
    using buffer = strict()
    const device = new Device('camera', { coherent: false })
    const attachment = await buffer.attach(device)
    const table = await attachment.map('bidirectional')
    const engine = new DmaEngine(device)
    const bytes = buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(3))
    expect([...(await engine.read(table, 0, 2))]).toEqual([3, 3])
    await engine.write(table, 1, Uint8Array.of(9))
    expect(bytes[1]).toBe(3)
    expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[1])).toBe(9)
    attachment.detach()
  })

  test('goes wherever a placed buffer goes', async () => {
    using buffer = await heap.allocate(SIZE, { coherency: 'strict', movable: true })
    await buffer.withCpuAccess('write', ({ bytes }) => bytes.fill(3))
    const contiguous = await buffer.attach(new Device('dsp', { maxSegments: 1 }))
    const table = await contiguous.map('to-device')
    expect(table.generation).toBe(2)
    expect(await buffer.withCpuAccess('read', ({ bytes }) => bytes[SIZE - 1])).toBe(3)
    contiguous.detach()
  })

  test('can be frozen', () => {
    using buffer = strict({ sharing: 'read-only' })
    buffer.withCpuAccessSync('write', ({ bytes }) => bytes.fill(7))
    buffer.freeze()
    expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[0])).toBe(7)
    expect(codeNow(() => buffer.beginCpuAccessSync('write'))).toBe('EACCES')
  })
})

test('a range without others is what is left of it, in order', () => {
  const range = fc.record({ offset: fc.nat(20), length: fc.nat(20) })
  fc.assert(
    fc.property(range, fc.array(range, { maxLength: 4 }), (whole, others) => {
      const inside = (at: number, { offset, length }: { offset: number; length: number }) =>
        at >= offset && at < offset + length
      const left = without(whole, others)
      for (let at = 0; at < 45; at++) {
        const expected = inside(at, whole) && !others.some((other) => inside(at, other))
        expect(left.filter((part) => inside(at, part)).length).toBe(expected ? 1 : 0)
      }
      expect(left.every(({ length }) => length > 0)).toBe(true)
    }),
  )
})
