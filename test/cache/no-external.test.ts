import { constants } from 'node:buffer'
import { ftruncateSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { Device, DmaEngine } from '../../src/dma.ts'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { DmaBuf, SystemHeap, vmemexp } from '../../src/index.ts'
import { MapKind, type Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { memfd, withFd } from '../support/descriptor.ts'
import { codeNow } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { warmSharing } from '../support/warm-sharing.ts'

// Asked when the first buffer is made, which is after this.
process.env['DMABUF_NO_EXTERNAL'] = '1'

beforeAll(warmSharing)
useCensus()

const heap = new SystemHeap()

test('where no ArrayBuffer may lie over shared memory, views are of a copy that brackets keep in step', async () => {
  await using puppet = ProcessPuppet.start({ env: { ...process.env, DMABUF_NO_EXTERNAL: '0' } })
  using buffer = heap.allocateSync(4096)
  expect([buffer.coherency, buffer.zeroCopy]).toEqual(['coherent', false])
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('coherency')).message).toMatchObject({ coherency: 'coherent', zeroCopy: true })
  buffer.withCpuAccessSync('write', ({ bytes }) => bytes.fill(1))
  expect((await puppet.ask('sum')).message['sum']).toBe(4096)
  await puppet.ask('fill', { value: 2 })
  expect(buffer.withCpuAccessSync('read', (cpu) => [cpu.bytes[0], cpu.copy().bytes[4095]])).toEqual([2, 2])
  // Received from elsewhere, too.
  const { buffers } = await puppet.ask('allocate', { bytes: 10 })
  for (const theirs of buffers) {
    theirs.withCpuAccessSync('write', ({ bytes }) => bytes.fill(9))
    expect(theirs.zeroCopy).toBe(false)
    theirs.close()
  }
  await puppet.ask('drop')
})

test('a bracket that is closed with its wrapper is written back there, as in shared memory', () => {
  using buffer = heap.allocateSync(4096)
  const other = wrap(coreOf(buffer))
  other.beginCpuAccessSync('write').bytes[0] = 5
  other.close()
  expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[0])).toBe(5)
})

test('devices work there, and non-coherent buffers have their cache', async () => {
  using buffer = heap.allocateSync(4096)
  const device = new Device('camera')
  const attachment = await buffer.attach(device)
  const table = await attachment.map('bidirectional')
  await new DmaEngine(device).fill(table, 0, 10, 4)
  expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[9])).toBe(4)
  attachment.detach()
  using cached = heap.allocateSync(4096, { coherency: 'non-coherent' })
  const dsp = await cached.attach(new Device('dsp', { coherent: false }))
  const other = await dsp.map('bidirectional')
  const engine = new DmaEngine(dsp.device)
  const cpu = cached.beginCpuAccessSync('write')
  cpu.bytes[0] = 5
  expect((await engine.read(other, 0, 1))[0]).toBe(0)
  cpu.end()
  expect((await engine.read(other, 0, 1))[0]).toBe(5)
  await engine.fill(other, 64, 1, 6)
  expect(cached.withCpuAccessSync('read', ({ bytes }) => bytes[64])).toBe(6)
  dsp.detach()
})

test('the addon itself refuses, so nothing can have such an ArrayBuffer', () => {
  using buffer = heap.allocateSync(4096)
  expect(coreOf(buffer).mapping.view()).toBe(-95)
  expect(addon().allocatePages(4096)).toBe(-95)
})

test('words of a mapping are reached one by one, and none beyond its end', async () => {
  await withFd(memfd(100), (fd) => {
    const native = addon()
    const words = native.map(fd, 0, 98, MapKind.shared) as Mapping
    expect(words.addWord(23, 0xffff_ffff)).toBe(0)
    expect(words.addWord(23, 2)).toBe(0xffff_ffff)
    expect(words.orWord(23, 6)).toBe(1)
    expect([words.loadWord(23), words.storeWord(0, 9), words.loadWord(0)]).toEqual([7, 0, 9])
    expect([words.loadWord(24), words.storeWord(24, 1), words.loadWord(-1)]).toEqual([-22, -22, -22])
    const reading = native.map(fd, 0, 100, MapKind.sharedReadOnly) as Mapping
    expect([reading.loadWord(23), reading.storeWord(23, 1), reading.addWord(0, 1)]).toEqual([7, -13, -13])
    const odd = native.map(fd, 2, 40, MapKind.shared) as Mapping
    expect(odd.loadWord(0)).toBe(-22)
    expect(native.copyOut(words, 0, new Uint8Array(4), [{ words, index: 0 }])).toBe(0)
    words.storeWord(0, 10)
    expect(native.copyOut(words, 0, new Uint8Array(4), [{ words, index: 0 }])).toBe(1)
    expect(native.copyOut(words, 0, new Uint8Array(4), [{ words, index: 24 }])).toBe(-22)
    words.close()
    expect([words.loadWord(0), words.orWord(0, 1)]).toEqual([-9, -9])
    for (const mapping of [reading, odd]) mapping.close()
  })
})

test('ranges of what one ArrayBuffer cannot show are copies that never contradict each other', async () => {
  const bytes = 5 * 2 ** 30
  await withFd(addon().memfdCreate('sparse', 0), async (fd) => {
    ftruncateSync(fd, bytes)
    expect(addon().addSeals(fd, 7)).toBe(0)
    using buffer = DmaBuf.fromFd(fd)
    using range = buffer.mmap({ offset: 8192, length: 8192 })
    buffer.withCpuAccessSync('write', (cpu) => {
      range.bytes[0] = 1
      const page = cpu.kmap(3)
      page.bytes[5] = 2
      page.kunmap()
    })
    range.close()
    // Nobody holds a copy any more: this is the storage.
    using cpu = buffer.beginCpuAccessSync('read', { offset: 4096, length: 16_384 })
    if (bytes > constants.MAX_LENGTH) {
      expect([cpu.bytes[4096], cpu.bytes[8197], cpu.copy({ offset: 8197, length: 1 }).bytes[0]]).toEqual([
        1, 2, 2,
      ])
      using beyond = buffer.mmap({ offset: 0, length: 8192 })
      expect(codeNow(() => beyond.bytes)).toBe('ENOTSUP')
    }
  })
})

test('the exporter that moves contents its own way gets copies of them', async () => {
  const seen: (number | undefined)[] = []
  using buffer = DmaBuf.export({
    exporterName: 'own',
    byteLength: 4096,
    ops: {
      release: () => {},
      move(from, to) {
        seen.push(from[1])
        to.set(from.map((byte) => byte + 1))
      },
    },
  })
  await buffer.withCpuAccess('write', ({ bytes }) => bytes.fill(1))
  const attachment = await buffer.attach(new Device('narrow', { maxSegments: 1 }))
  await attachment.map('bidirectional')
  expect(seen.every((byte) => byte === 1)).toBe(true)
  expect(await buffer.withCpuAccess('read', ({ bytes }) => bytes[4095])).toBe(1 + seen.length)
  attachment.detach()
})

test('memory of the process is exported there as well', async () => {
  const memory = new Uint8Array(vmemexp.allocate(10_000))
  using buffer = await vmemexp.export(memory, { lock: false })
  memory[9999] = 3
  expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[9999])).toBe(3)
  buffer.withCpuAccessSync('write', ({ bytes }) => bytes.fill(4))
  expect([memory[0], memory.length]).toEqual([4, 10_000])
})
