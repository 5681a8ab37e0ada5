import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { coreOf } from '../../src/dmabuf/dmabuf.ts'
import { Slot } from '../../src/dmabuf/words.ts'
import { DmaBuf, type DmaBufError, SystemHeap } from '../../src/index.ts'
import { ArrayWords } from '../../src/memory/shared-words.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { codeNow } from '../support/fails.ts'
import { until } from '../support/until.ts'
import { zeroCopyTest } from '../support/zero-copy.ts'

const heap = new SystemHeap()

useCensus()

test('a copy is private memory that changes no more', async () => {
  using buffer = await heap.allocate(4096)
  using cpu = buffer.beginCpuAccessSync('write')
  cpu.bytes.set([1, 2, 3, 4])
  const { bytes } = cpu.copy()
  cpu.bytes.fill(9)
  expect([bytes.length, ...bytes.subarray(0, 5)]).toEqual([4096, 1, 2, 3, 4, 0])
  expect(bytes.buffer).not.toBe(cpu.bytes.buffer)
})

test('a range of a range is copied, counted from the beginning of the access', async () => {
  using buffer = await heap.allocate(100)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.set([1, 2, 3, 4, 5], 10))
  using cpu = buffer.beginCpuAccessSync('read', { offset: 11, length: 3 })
  expect([...cpu.copy().bytes]).toEqual([2, 3, 4])
  expect([...cpu.copy({ offset: 1 }).bytes]).toEqual([3, 4])
  expect([...cpu.copy({ offset: 1, length: 1 }).bytes]).toEqual([3])
  for (const range of [{ offset: 4 }, { length: 4 }, { offset: 3, length: 1 }, { offset: -1 }]) {
    expect(codeNow(() => cpu.copy(range))).toBe('EINVAL')
  }
})

test('a copy goes into memory that is given, and leaves the rest of it alone', async () => {
  using buffer = await heap.allocate(4)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.set([1, 2, 3, 4]))
  using cpu = buffer.beginCpuAccessSync('read')
  const into = new Uint8Array(6).fill(7)
  const { bytes } = cpu.copy({ into })
  expect([bytes.buffer === into.buffer, bytes.length, ...into]).toEqual([true, 4, 1, 2, 3, 4, 7, 7])
  const exact = new Uint8Array(4)
  expect(cpu.copy({ into: exact }).bytes).toBe(exact)
  const small = new Uint8Array(3)
  expect(() => cpu.copy({ into: small })).toThrow(
    'a Uint8Array of at least 4 bytes for into but received one of 3',
  )
  expect([...small]).toEqual([0, 0, 0])
})

test('text is decoded from the copy', async () => {
  using buffer = await heap.allocate(8)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.set(Buffer.from('aé€zz')))
  using cpu = buffer.beginCpuAccessSync('read')
  expect(cpu.text()).toBe('aé€zz')
  expect(cpu.text('latin1', { offset: 6 })).toBe('zz')
  expect(cpu.text('hex', { length: 3 })).toBe('61c3a9')
  expect(codeNow(() => cpu.text('utf9' as BufferEncoding))).toBe('EINVAL')
})

test('a copy is verified while its only writer does not write', async () => {
  for (const sharing of ['writable', 'read-only'] as const) {
    using buffer = await heap.allocate(4096, { sharing })
    using cpu = buffer.beginCpuAccessSync('read')
    expect(cpu.copy().verified).toBe(true)
    expect(cpu.copy({ verified: true }).verified).toBe(true)
    using writing = buffer.beginCpuAccessSync('write')
    expect(cpu.copy().verified).toBe(false)
    expect(codeNow(() => cpu.copy({ verified: true }))).toBe('EAGAIN')
    expect(codeNow(() => cpu.text('utf8', { verified: true }))).toBe('EAGAIN')
    writing.end()
    expect(cpu.copy().verified).toBe(true)
  }
})

test('a copy of frozen memory is verified: nobody can write it', async () => {
  using buffer = await heap.allocate(4096, { sharing: 'read-only' })
  buffer.freeze()
  using cpu = buffer.beginCpuAccessSync('read')
  expect(cpu.copy({ verified: true }).verified).toBe(true)
  using foreign = DmaBuf.fromFd(buffer.fd)
  expect(foreign.withCpuAccessSync('read', (view) => view.copy().verified)).toBe(true)
})

test('nothing is claimed of memory whose writers cannot be watched', async () => {
  using buffer = await heap.allocate(4096)
  using foreign = DmaBuf.fromFd(buffer.fd)
  expect(foreign.withCpuAccessSync('read', (cpu) => cpu.copy().verified)).toBe(false)
  // Whoever took the descriptor may have given it to a program that keeps no sequence.
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.copy().verified)).toBe(false)
  using readOnly = await heap.allocate(4096, { sharing: 'read-only' })
  using importer = DmaBuf.fromFd(readOnly.fd)
  expect(importer.withCpuAccessSync('read', (cpu) => cpu.copy().verified)).toBe(false)
  expect(readOnly.withCpuAccessSync('read', (cpu) => cpu.copy().verified)).toBe(true)
  const fd = addon().duplicate(readOnly.fd)
  const ops = { release: () => {} }
  using exported = DmaBuf.export({ exporterName: 'mine', fd, byteLength: 4096, ops })
  expect(exported.withCpuAccessSync('read', (cpu) => cpu.copy().verified)).toBe(false)
})

/** Writes 0, 1, 2, … into every byte for ever, turning the sequence word around each pass as a bracket does. */
const writerSource = `
  const { workerData: { addon: path, fd, byteLength, words, running } } = require('node:worker_threads')
  const mapping = require(path).map(fd, 0, byteLength, 0)
  const bytes = new Uint8Array(mapping.view())
  for (let round = 0; Atomics.load(running, 0) === 1; round++) {
    Atomics.add(words, ${Slot.writeSequence}, 1)
    bytes.fill(round)
    Atomics.add(words, ${Slot.writeSequence}, 1)
    Atomics.store(running, 1, round)
    // A moment of rest, so that some copies fall into it.
    Atomics.wait(running, 2, 0, round % 3)
  }
  mapping.close()
`

zeroCopyTest('a copy that a running writer tears is never called verified', async () => {
  const byteLength = 1 << 20
  using buffer = await heap.allocate(byteLength)
  const words = new Uint32Array(new SharedArrayBuffer(16))
  coreOf(buffer).slot = new ArrayWords(words)
  const running = new Int32Array(new SharedArrayBuffer(12))
  running[0] = 1
  // The descriptor is taken past the wrapper: this writer does keep a sequence.
  const { fd } = coreOf(buffer).storage
  const { describeAddon } = await import('../../src/native/load.ts')
  const workerData = { addon: describeAddon().path, fd, byteLength, words, running }
  const worker = new Worker(writerSource, { eval: true, workerData })
  try {
    await until(() => Atomics.load(running, 1) > 0, 'the writer writes')
    using cpu = buffer.beginCpuAccessSync('read')
    const into = new Uint8Array(byteLength)
    const seen = { verified: 0, refused: 0 }
    const attempt = () => {
      try {
        cpu.copy({ into, verified: true })
      } catch (error) {
        expect((error as DmaBufError).code).toBe('EAGAIN')
        seen.refused++
        return false
      }
      seen.verified++
      expect(into.every((byte) => byte === into[0])).toBe(true)
      return seen.verified >= 50
    }
    await until(attempt, '50 copies are verified')
  } finally {
    Atomics.store(running, 0, 0)
    await worker.terminate()
  }
})
