import { open } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { type DmaBuf, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow } from '../support/fails.ts'

const heap = new SystemHeap()

useCensus()

/** Another wrapper over the same inner buffer, as a second message with it brings one. */
function anotherOver(buffer: DmaBuf): DmaBuf {
  return wrap(coreOf(buffer))
}

function bytesOf(buffer: DmaBuf): Uint8Array {
  return buffer.withCpuAccessSync('read', (cpu) => cpu.bytes)
}

test('views have length 0 after close, and a DataView throws', async () => {
  const buffer = await heap.allocate(8192)
  const whole = bytesOf(buffer)
  const part = buffer.withCpuAccessSync('read', (cpu) => cpu.bytes, { offset: 4096 })
  const data = new DataView(whole.buffer)
  const floats = new Float64Array(whole.buffer)
  using range = buffer.mmap({ offset: 100, length: 10 })
  const ranged = range.bytes
  expect([whole.length, part.length, floats.length, ranged.length]).toEqual([8192, 4096, 1024, 10])
  buffer.close()
  expect([whole.length, part.length, floats.length, ranged.length, whole.buffer.byteLength]).toEqual([
    0, 0, 0, 0, 0,
  ])
  expect(whole[0]).toBeUndefined()
  expect(() => data.getUint8(0)).toThrow(TypeError)
})

test('the bytes are never a Buffer, whose methods decode live memory', async () => {
  using buffer = await heap.allocate(10)
  using cpu = buffer.beginCpuAccessSync('read')
  expect(Object.getPrototypeOf(cpu.bytes)).toBe(Uint8Array.prototype)
  expect(Object.getPrototypeOf(cpu.copy().bytes)).toBe(Uint8Array.prototype)
})

test('there is one ArrayBuffer for all accesses and all wrappers', async () => {
  using buffer = await heap.allocate(4096)
  using second = anotherOver(buffer)
  const memory = bytesOf(buffer).buffer
  expect(bytesOf(buffer).buffer).toBe(memory)
  expect(bytesOf(second).buffer).toBe(memory)
  expect(buffer.same(second)).toBe(true)
  using other = await heap.allocate(4096)
  expect(buffer.same(other)).toBe(false)
  expect(bytesOf(other).buffer).not.toBe(memory)
})

test('views live until the last wrapper is closed', async () => {
  const buffer = await heap.allocate(4096)
  const second = anotherOver(buffer)
  const bytes = bytesOf(buffer)
  buffer.close()
  expect(bytes.length).toBe(4096)
  expect(bytesOf(second).buffer).toBe(bytes.buffer)
  second.close()
  expect(bytes.length).toBe(0)
})

test('a close while a read into the view is under way harms nobody', async () => {
  const file = await open('/dev/zero')
  for (let round = 0; round < 20; round++) {
    const buffer = await heap.allocate(1 << 20)
    const reading = file.read(bytesOf(buffer)).catch((error: NodeJS.ErrnoException) => error.code)
    buffer.close()
    using next = await heap.allocate(1 << 20)
    next.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(9))
    const result = await reading
    expect(typeof result === 'object' || result === 'EFAULT').toBe(true)
    expect(bytesOf(next).every((byte) => byte === 9)).toBe(true)
  }
  await file.close()
})

test('memory that is transferred away crashes nobody, and is told apart from memory that is there', async () => {
  const buffer = await heap.allocate(4096)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(5))
  const memory = bytesOf(buffer).buffer as ArrayBuffer
  let clone: ArrayBuffer | undefined
  try {
    clone = structuredClone(memory, { transfer: [memory] })
  } catch (error) {
    // Node 22 and newer refuse; Node 20 copies and leaves ours attached.
    expect((error as Error).name).toBe('DataCloneError')
  }
  if (clone !== undefined) expect(new Uint8Array(clone)[0]).toBe(5)
  if (memory.byteLength === 0) expect(codeNow(() => bytesOf(buffer))).toBe('EBUSY')
  else expect(bytesOf(buffer)[0]).toBe(5)
  buffer.close()
  expect(memory.byteLength).toBe(0)
})

type Transferable = ArrayBuffer & { transfer(): ArrayBuffer }

test.runIf('transfer' in ArrayBuffer.prototype)(
  'transfer() moves the memory out of reach, which is EBUSY',
  async () => {
    using buffer = await heap.allocate(4096)
    const memory = bytesOf(buffer).buffer as Transferable
    const moved = memory.transfer()
    expect(codeNow(() => bytesOf(buffer))).toBe('EBUSY')
    expect(buffer.withCpuAccessSync('read', (cpu) => cpu.copy().bytes.length)).toBe(4096)
    buffer.close()
    new Uint8Array(moved)[0] = 1
  },
)
