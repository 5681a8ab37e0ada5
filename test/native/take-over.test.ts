import { ftruncateSync, readFileSync, readSync } from 'node:fs'
import { constants } from 'node:os'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { deflate } from 'node:zlib'
import { expect, test } from 'vitest'
import { MapKind, type Mapping } from '../../src/native/addon.ts'
import { useCensus } from '../support/census.ts'
import { addon, addonPath, bytesOf, inChild, mapped, memory, viewOf } from './load.ts'

const { EBADF, EBUSY, EFAULT, EINVAL } = constants.errno

useCensus()

/** A memfd whose every byte is `value`. */
function filled(byteLength: number, value: number): number {
  const fd = memory(byteLength)
  const mapping = mapped(fd, 0, byteLength, MapKind.shared)
  bytesOf(mapping).fill(value)
  mapping.close()
  return fd
}

function byteAt(fd: number, position: number): number {
  const byte = new Uint8Array(1)
  readSync(fd, byte, 0, 1, position)
  return byte[0]!
}

function end(mappings: readonly Mapping[], fds: readonly number[]): void {
  for (const mapping of mappings) mapping.close()
  for (const fd of fds) addon.close(fd)
}

test('a view that was held before shows the other storage, at its old place', () => {
  for (const size of [4096, 3 << 20]) {
    const [a, b] = [filled(size, 1), filled(size, 2)]
    const [mapping, prepared] = [mapped(a, 0, size, MapKind.shared), mapped(b, 0, size, MapKind.shared)]
    const view = viewOf(mapping)
    const words = new Int32Array(view)
    expect(Atomics.load(words, 0)).toBe(0x01010101)
    expect(mapping.takeOver(prepared)).toBe(0)
    expect(Atomics.add(words, 0, 1)).toBe(0x02020202)
    expect(Atomics.load(words, words.length - 1)).toBe(0x02020202)
    expect(mapping.view()).toBe(view)
    expect([byteAt(a, 0), byteAt(b, 0)]).toEqual([1, 3])
    expect(prepared.view()).toBe(-EBADF)
    end([mapping, prepared], [a, b])
    expect(view.byteLength).toBe(0)
  }
})

test('every kind of mapping takes over its own kind, and private copies of the old pages go', () => {
  for (const kind of [MapKind.shared, MapKind.sharedReadOnly, MapKind.private]) {
    const [a, b] = [filled(1 << 16, 1), filled(1 << 16, 2)]
    const [mapping, prepared] = [mapped(a, 5000, 20_000, kind), mapped(b, 5000, 20_000, kind)]
    const bytes = bytesOf(mapping)
    if (kind === MapKind.private) bytes[1] = 9
    expect(mapping.takeOver(prepared)).toBe(0)
    expect([bytes.length, bytes[0], bytes[1], bytes[19_999]]).toEqual([20_000, 2, 2, 2])
    if (kind !== MapKind.sharedReadOnly) bytes[0] = 7
    expect(byteAt(b, 5000)).toBe(kind === MapKind.shared ? 7 : 2)
    end([mapping, prepared], [a, b])
  }
})

test('a mapping without a view takes over too, and again', () => {
  const fds = [1, 2, 3].map((value) => filled(8192, value))
  const [mapping, ...others] = fds.map((fd) => mapped(fd, 0, 8192, MapKind.shared)) as [Mapping, ...Mapping[]]
  for (const other of others) expect(mapping.takeOver(other)).toBe(0)
  const bytes = bytesOf(mapping)
  expect(bytes[0]).toBe(3)
  expect(mapping.relocate()).toBe(0)
  expect([bytes.length, bytesOf(mapping)[8191]]).toEqual([0, 3])
  end([mapping, ...others], fds)
})

test('what cannot be taken over is refused, and both are as before', () => {
  const [a, b] = [filled(1 << 16, 1), filled(1 << 16, 2)]
  const mapping = mapped(a, 4096, 8192, MapKind.shared)
  const bytes = bytesOf(mapping)
  const map = (offset: number, length: number, kind: MapKind = MapKind.shared) =>
    mapped(b, offset, length, kind)
  const unlike = [
    map(4096, 4096),
    map(4096, 8191),
    map(4097, 8191),
    map(4097, 8192),
    map(0, 8192, MapKind.sharedReadOnly),
    map(0, 8192, MapKind.private),
  ]
  for (const other of unlike) expect(mapping.takeOver(other)).toBe(-EINVAL)
  expect(mapping.takeOver(mapping)).toBe(-EINVAL)
  const viewed = map(0, 8192)
  const theirs = bytesOf(viewed)
  expect(mapping.takeOver(viewed)).toBe(-EBUSY)
  const closed = map(0, 8192)
  closed.close()
  expect(mapping.takeOver(closed)).toBe(-EBADF)
  expect(closed.takeOver(mapping)).toBe(-EBADF)
  for (const other of [{}, null, undefined, 1]) {
    expect(() => mapping.takeOver(other as never)).toThrow(TypeError)
  }
  expect([bytes[0], bytes[8191], theirs[0], theirs[8191]]).toEqual([1, 1, 2, 2])
  for (const other of unlike) expect([1, 2]).toContain(bytesOf(other)[0])
  end([mapping, viewed, ...unlike], [a, b])
})

test.runIf('transfer' in ArrayBuffer.prototype)('memory that was transferred away is refused', () => {
  const [a, b] = [filled(4096, 1), filled(4096, 2)]
  const [mapping, prepared] = [mapped(a, 0, 4096, MapKind.shared), mapped(b, 0, 4096, MapKind.shared)]
  const view = viewOf(mapping)
  const moved = new Uint8Array((view as unknown as { transfer(): ArrayBuffer }).transfer())
  expect(mapping.takeOver(prepared)).toBe(-EBUSY)
  expect([moved[0], bytesOf(prepared)[0], view.byteLength]).toEqual([1, 2, 0])
  end([mapping, prepared], [a, b])
})

test('a truncated mapping is whole again afterwards; truncated storage is not taken over', () => {
  const [a, b, c] = [filled(16384, 1), filled(16384, 2), filled(16384, 3)]
  const [mapping, prepared] = [mapped(a, 0, 16384, MapKind.shared), mapped(b, 0, 16384, MapKind.shared)]
  const bytes = bytesOf(mapping)
  ftruncateSync(a, 4096)
  expect([bytes[8192], mapping.faulted]).toEqual([0, true])
  expect(mapping.takeOver(prepared)).toBe(0)
  expect([bytes[0], bytes[16383], mapping.faulted]).toEqual([2, 2, false])
  expect(mapping.relocate()).toBe(0)
  const again = bytesOf(mapping)
  expect([again[16383], mapping.faulted]).toEqual([2, false])

  // The storage that came is watched as the old one was.
  ftruncateSync(b, 4096)
  expect([again[0], again[16383], mapping.faulted]).toEqual([2, 0, true])
  const broken = mapped(b, 0, 16384, MapKind.shared)
  ftruncateSync(b, 0)
  expect(addon.copyOut(broken, 0, new Uint8Array(1), [])).toBe(-EFAULT)
  const whole = mapped(c, 0, 16384, MapKind.shared)
  const wholeBytes = bytesOf(whole)
  expect(whole.takeOver(broken)).toBe(-EFAULT)
  expect([wholeBytes[0], whole.faulted, broken.faulted]).toEqual([3, false, true])
  end([mapping, prepared, broken, whole], [a, b, c])
})

test('what was taken over is not inherited by a fork either', () => {
  const [a, b] = [filled(8192, 1), filled(8192, 2)]
  const [mapping, prepared] = [mapped(a, 0, 8192, MapKind.shared), mapped(b, 0, 8192, MapKind.shared)]
  viewOf(mapping)
  expect(mapping.takeOver(prepared)).toBe(0)
  const flags = readFileSync('/proc/self/smaps', 'latin1').match(/\/memfd:test[^/]*VmFlags:.*/g) ?? []
  expect(flags.length).toBe(1)
  // VM_DONTCOPY.
  expect(flags[0]).toMatch(/ dc\b/)
  end([mapping, prepared], [a, b])
})

test('threads that work on the memory meanwhile see one storage or the other, and never nothing', async () => {
  const size = 1 << 20
  const fds = [filled(size, 1), filled(size, 2)] as const
  const mapping = mapped(fds[0], 0, size, MapKind.shared)
  const bytes = bytesOf(mapping)
  const gate = new Int32Array(new SharedArrayBuffer(8))
  const others = fds.map(
    (fd) =>
      new Worker(hammer, { eval: true, workerData: { addonPath, fd: addon.duplicate(fd), size, gate } }),
  )
  while (Atomics.load(gate, 0) < others.length) await new Promise(setImmediate)

  let swaps = 0
  let done = false
  // Native code of the thread pool reads the view by its address.
  const reading = Promise.all(
    [1, 2].map(async () => {
      for (let i = 0; i < 10; i++) await promisify(deflate)(bytes, { level: 1 })
    }),
  ).finally(() => {
    done = true
  })
  while (!done) {
    const fd = fds[(swaps + 1) % 2]!
    const prepared = mapped(fd, 0, size, MapKind.shared)
    expect(mapping.takeOver(prepared)).toBe(0)
    swaps++
    expect(bytes[size - 1]).toBe((swaps % 2) + 1)
    await new Promise(setImmediate)
  }
  await reading
  Atomics.store(gate, 1, 1)
  const failures = await Promise.all(others.map((w) => new Promise((resolve) => w.once('message', resolve))))
  await Promise.all(others.map((w) => w.terminate()))
  expect(failures).toEqual([0, 0])
  expect(swaps).toBeGreaterThan(0)
  end([mapping], fds)
})

const hammer = `
  const { workerData: { addonPath, fd, size, gate }, parentPort } = require('worker_threads')
  const addon = require(addonPath)
  const mapping = addon.map(fd, 0, size, 0)
  const words = new Int32Array(mapping.view())
  const last = words.length - 1, before = words[last]
  let failures = 0, sum = Atomics.load(words, 1)
  Atomics.add(gate, 0, 1)
  while (Atomics.load(gate, 1) === 0) {
    for (let i = 0; i < 1000; i++) { Atomics.add(words, 1, 1); sum = (sum + 1) | 0 }
    if (Atomics.load(words, 1) !== sum || words[last] !== before) failures++
  }
  mapping.close(); addon.close(fd)
  parentPort.postMessage(failures)
`

test('a fault on storage that goes leaves the storage that comes alone', async () => {
  const size = 1 << 18
  let fd = filled(size, 1)
  const mapping = mapped(fd, 0, size, MapKind.shared)
  const bytes = bytesOf(mapping)
  let done = false
  // Threads of the pool meet truncated memory at any moment, and their signals come when they may.
  const reading = [1, 2, 3].map(async () => {
    while (!done) await promisify(deflate)(bytes, { level: 1 })
  })
  const lost: number[] = []
  for (let round = 2; round < 200; round++) {
    const next = filled(size, round)
    const prepared = mapped(next, 0, size, MapKind.shared)
    if (mapping.faulted || bytes.some((byte) => byte !== round - 1)) lost.push(round - 1)
    ftruncateSync(fd, 0)
    if (round % 2 === 0) await new Promise(setImmediate)
    expect(mapping.takeOver(prepared)).toBe(0)
    addon.close(fd)
    fd = next
    if (round % 3 === 0) await new Promise(setImmediate)
  }
  expect(lost).toEqual([])
  done = true
  await Promise.all(reading)
  end([mapping], [fd])
})

test('a collected view does not stop a mapping from taking over', () => {
  const { status, out } = inChild(`
    const file = (v) => {
      const fd = addon.memfdCreate('leak', 0); addon.allocate(fd, 1 << 20)
      const m = addon.map(fd, 0, 1 << 20, 0); new Uint8Array(m.view()).fill(v); m.close()
      return fd
    }
    const maps = () => require('fs').readFileSync('/proc/self/maps', 'utf8').split('memfd:leak').length - 1
    const fds = [file(1), file(2)]
    const mapping = addon.map(fds[0], 0, 1 << 20, 0)
    const seen = []
    for (let i = 1; i <= 20; i++) {
      new Uint8Array(mapping.view())[0] = 5; gc()
      if (i % 3 === 0) await turn()
      seen.push(mapping.takeOver(addon.map(fds[i % 2], 0, 1 << 20, 0)), new Uint8Array(mapping.view())[1])
    }
    for (let i = 0; i < 20 && maps() > 1; i++) { gc(); await turn() }
    console.log(seen.join(''), maps())
    mapping.close()
    for (let i = 0; i < 20 && maps() > 0; i++) { gc(); await turn() }
    console.log(maps())
  `)
  expect(out).toBe(`${'0201'.repeat(10)} 1\n0\n`)
  expect(status).toBe(0)
})
