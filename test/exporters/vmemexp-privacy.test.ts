import { expect, test } from 'vitest'
import { type DmaBuf, vmemexp } from '../../src/index.ts'
import { diagnostics } from '../../src/internal/diagnostics.ts'
import type { Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { blocks, bytesOf, filledWith, MAPPED_BYTES, resizable, wasmMemory } from '../support/blocks.ts'
import { useCensus } from '../support/census.ts'
import { collect, until, untilCollected } from '../support/until.ts'

const page = addon().pageSize
const CANARY = Buffer.from('a secret that nobody else may read')

useCensus()

/** The whole file behind a buffer, as a hostile importer keeps it: not only the bytes that were exported. */
function keepFile(buffer: DmaBuf): Mapping {
  const length = Math.ceil((buffer.offset + buffer.byteLength) / page) * page
  const mapping = addon().map(buffer.fd, 0, length, 0)
  if (typeof mapping === 'number') throw new Error(`map: ${mapping}`)
  return mapping
}

function file(mapping: Mapping): Buffer {
  return Buffer.from(mapping.view() as ArrayBuffer)
}

function plantSecrets(bytes: Uint8Array): void {
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).fill(CANARY)
}

test('bytes beside the exported ones never come into the file, nor do importers reach them', async () => {
  const block = Buffer.alloc(MAPPED_BYTES, CANARY)
  const view = block.subarray(10_000, 10_000 + 5 * page)
  view.fill(1)
  const before = Buffer.from(block.buffer)
  const buffer = await vmemexp.export(view)
  const kept = keepFile(buffer)
  const { offset, byteLength } = buffer
  expect(file(kept).includes(CANARY)).toBe(false)
  expect(filledWith(file(kept).subarray(0, offset), 0)).toBe(true)
  expect(filledWith(file(kept).subarray(offset + byteLength), 0)).toBe(true)
  file(kept).fill(9)
  buffer.withCpuAccessSync('read', () => {})
  buffer.close()
  expect(filledWith(view, 9)).toBe(true)
  view.fill(1)
  expect(Buffer.compare(Buffer.from(block.buffer), before)).toBe(0)
  kept.close()
})

test("the header that malloc keeps before a block stays malloc's own", async () => {
  for (let n = 0; n < 3; n++) {
    const block = new ArrayBuffer(MAPPED_BYTES)
    const buffer = await vmemexp.export(block)
    const kept = keepFile(buffer)
    expect(filledWith(file(kept).subarray(0, buffer.offset), 0)).toBe(true)
    file(kept).fill(255)
    buffer.close()
    kept.close()
  }
  // Would abort the process if a header had changed: "munmap_chunk(): invalid pointer".
  collect()
})

test('side pages carry what either side stored, whoever of them began or ended its bracket', async () => {
  const block = new Uint8Array(new ArrayBuffer(MAPPED_BYTES))
  using buffer = await vmemexp.export(block)
  const kept = keepFile(buffer)
  const seen = new Uint8Array(kept.view() as ArrayBuffer, buffer.offset, buffer.byteLength)
  block.set([1, 2, 3])
  buffer.beginCpuAccessSync('write').end()
  expect([...seen.subarray(0, 3)]).toEqual([1, 2, 3])
  // Both store, and neither loses what the other did not touch.
  seen[1] = 20
  block[2] = 30
  buffer.beginCpuAccessSync('read').end()
  expect([...seen.subarray(0, 3), ...block.subarray(0, 3)]).toEqual([1, 20, 30, 1, 20, 30])
  // The own view of the buffer is the file too.
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.set([4, 5, 6]))
  expect([...block.subarray(0, 3)]).toEqual([4, 5, 6])
  kept.close()
})

test.each(Object.entries(blocks))(
  'nothing that the program stores later is found through old descriptors: %s',
  async (_, make) => {
    const kept: Mapping[] = []
    for (let n = 0; n < 4; n++) {
      const memory = make()
      bytesOf(memory).fill(n)
      const buffer = await vmemexp.export(memory, { lock: false })
      kept.push(keepFile(buffer))
      buffer.close()
      // The memory itself goes on living for a while, with secrets in it; then it is freed.
      plantSecrets(bytesOf(memory))
    }
    for (let n = 0; n < 30; n++) {
      collect()
      await new Promise(setImmediate)
      const large = Buffer.alloc(MAPPED_BYTES, CANARY)
      const small = Array.from({ length: 200 }, () => Buffer.allocUnsafeSlow(20_000).fill(CANARY))
      if (n % 10 === 0) for (const mapping of kept) expect(file(mapping).includes(CANARY)).toBe(false)
      expect(large.length + small.length).toBeGreaterThan(0)
    }
    for (const mapping of kept) mapping.close()
  },
)

test('exported memory is kept from the collector, and goes when the export has ended', async () => {
  const state: { memory: ArrayBuffer | undefined } = { memory: vmemexp.allocate(4 * page) }
  const weak = new WeakRef(state.memory as ArrayBuffer)
  const address = addon().addressOf(new Uint8Array(state.memory as ArrayBuffer))
  const buffer = await vmemexp.export(state.memory as ArrayBuffer)
  state.memory = undefined
  for (let n = 0; n < 5; n++) {
    collect()
    await new Promise(setImmediate)
  }
  expect(weak.deref()).toBeDefined()
  buffer.close()
  await untilCollected(() => weak.deref() === undefined, 'the memory is collected')
  await until(() => addon().isPageBlock(address) === 0, 'its pages are unmapped')
})

test('a buffer that nobody closed is closed by the collector, and the memory is private again', async () => {
  const memory = vmemexp.allocate(4 * page)
  await (async () => void (await vmemexp.export(memory)))()
  const address = addon().addressOf(new Uint8Array(memory))
  await untilCollected(() => addon().isExported(address, 1) === 0, 'the export has ended')
  const maps = addon().mappingsOver(address, 4 * page, false)
  expect(maps).toEqual([expect.objectContaining({ shared: false, inodeLow: 0 })])
})

/** Node 21 and later. */
const transferable = 'transfer' in ArrayBuffer.prototype

test.runIf(transferable).each(['an allocated block', "a malloc'ed block"])(
  'transfer() takes the export along: %s',
  async (kind) => {
    const memory = kind === 'an allocated block' ? vmemexp.allocate(4 * page) : new ArrayBuffer(MAPPED_BYTES)
    const buffer = await vmemexp.export(memory, { lock: false })
    const kept = keepFile(buffer)
    const moved = (memory as unknown as { transfer(): ArrayBuffer }).transfer()
    new Uint8Array(moved).fill(3)
    buffer.withCpuAccessSync('read', (cpu) => expect(filledWith(cpu.bytes, 3)).toBe(true))
    using same = await vmemexp.export(moved)
    expect(same.same(buffer)).toBe(true)
    same.close()
    buffer.close()
    new Uint8Array(moved).fill(CANARY[0] as number)
    expect(filledWith(file(kept).subarray(buffer.offset, buffer.byteLength), 3)).toBe(true)
    kept.close()
  },
)

test.runIf(transferable)(
  'transfer() with another length is refused while the block is exported, and possible afterwards',
  async () => {
    const memory = new ArrayBuffer(MAPPED_BYTES) as ArrayBuffer & { transfer(length: number): ArrayBuffer }
    const buffer = await vmemexp.export(memory, { lock: false })
    expect(() => memory.transfer(10)).toThrow(/EBUSY/)
    buffer.close()
    expect(memory.transfer(10).byteLength).toBe(10)
  },
)

test('memory that was taken away in silence is left alone, and is known again when it comes back', async () => {
  const abandoned: unknown[] = []
  const listen = (message: unknown) => void abandoned.push(message)
  diagnostics.vmemAbandoned.subscribe(listen)
  const memory = resizable(4 * page)
  const buffer = await vmemexp.export(memory)
  const taken = structuredClone(memory, { transfer: [memory] })
  const again = await vmemexp.export(taken)
  expect(again.same(buffer)).toBe(true)
  again.close()
  const lost = structuredClone(taken, { transfer: [taken] })
  buffer.close()
  expect(abandoned).toEqual([expect.objectContaining({ byteLength: 4 * page })])
  new Uint8Array(lost).fill(1)
  diagnostics.vmemAbandoned.unsubscribe(listen)
  // Its pages go with it: the census of this test finds no mapping left.
})

test('addresses that are used anew are not taken for the export that was there', async () => {
  let memory: ArrayBuffer | undefined = resizable(64 * page)
  const address = addon().addressOf(new Uint8Array(memory))
  const buffer = await vmemexp.export(memory)
  void structuredClone(memory, { transfer: [memory] })
  memory = undefined
  await untilCollected(() => {
    const maps = addon().mappingsOver(address, 1, false)
    return typeof maps === 'number' || maps[0]?.shared === false
  }, 'the memory is unmapped')
  const others = Array.from({ length: 20 }, () => resizable(64 * page))
  for (const other of others) {
    using exported = await vmemexp.export(other)
    expect(exported.same(buffer)).toBe(false)
  }
  buffer.close()
  for (const other of others) new Uint8Array(other).fill(1)
})

test('the old buffer of a WebAssembly.Memory that grew does not matter', async () => {
  const memory = wasmMemory(1)
  const buffer = await vmemexp.export(memory)
  const kept = keepFile(buffer)
  memory.grow(1)
  collect()
  buffer.close()
  plantSecrets(bytesOf(memory))
  expect(file(kept).includes(CANARY)).toBe(false)
  kept.close()
})
