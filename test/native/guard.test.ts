import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { MapKind, type Mapping, ViolationWord } from '../../src/native/addon.ts'
import { addon, bytesOf, inChild, mapped, memory } from './load.ts'

const { EDEADLK, EBADF, EINVAL } = constants.errno
const nothing = new Float64Array()
const words = new Float64Array(64 * ViolationWord.words)

/** `[token, offset, touch]` of what was recorded since the last look. */
function taken(): number[][] {
  const count = addon.takeViolations(words)
  return Array.from({ length: count }, (_, index) => [...words.subarray(index * 5, index * 5 + 3)])
}

function guarded(kind: MapKind, token: number, offset = 0, byteLength = 8192): [Mapping, Uint8Array] {
  const fd = memory(offset + byteLength)
  const mapping = mapped(fd, offset, byteLength, kind)
  addon.close(fd)
  const bytes = bytesOf(mapping)
  expect(mapping.guard(token)).toBe(addon.pageSize)
  return [mapping, bytes]
}

test.each(Object.entries(MapKind))('a touch of guarded memory is recorded once and done: %s', (_, kind) => {
  const [mapping, bytes] = guarded(kind, 7)
  expect(bytes[5000]).toBe(0)
  expect(bytes[1]).toBe(0)
  expect(taken()).toEqual([[7, 5000, 1]])
  expect(mapping.allow(nothing, 0)).toBe(0)
  expect(bytes[2]).toBe(0)
  expect(taken()).toEqual([[7, 2, 1]])
  mapping.close()
})

test('a store into pages that may only be read is recorded as one', () => {
  const [mapping, bytes] = guarded(MapKind.shared, 8)
  expect(mapping.allow(Float64Array.of(0, 4096, 1), 1)).toBe(0)
  expect(bytes[4095]).toBe(0)
  bytes[17] = 3
  expect(bytes[17]).toBe(3)
  expect(taken()).toEqual([[8, 17, 2]])
  mapping.close()
})

test('each page has the right that it was given', () => {
  const [mapping, bytes] = guarded(MapKind.shared, 9, 0, 5 * 4096)
  expect(mapping.allow(Float64Array.of(4096, 4096, 2, 8192, 4096, 1), 2)).toBe(0)
  bytes[4096] = 1
  expect(bytes[8192 + 4095]).toBe(0)
  expect(taken()).toEqual([])
  expect(bytes[3 * 4096]).toBe(0)
  expect(taken()).toEqual([[9, 3 * 4096, 1]])
  mapping.close()
})

test('offsets count from the first byte of the mapping, wherever that lies in its page', () => {
  const [mapping, bytes] = guarded(MapKind.shared, 10, 100, 50)
  bytes[3] = 1
  expect(taken()).toEqual([[10, 3, 2]])
  mapping.close()
})

test('the guard goes with the pages when they move, and is not on a duplicate', () => {
  const [mapping] = guarded(MapKind.shared, 11)
  expect(mapping.allow(Float64Array.of(0, 4096, 2), 1)).toBe(0)
  const copy = mapping.duplicate(0, 8192) as Mapping
  bytesOf(copy)[5000] = 6
  expect(mapping.relocate()).toBe(0)
  const bytes = bytesOf(mapping)
  bytes[0] = 1
  expect(taken()).toEqual([])
  expect(bytes[5000]).toBe(6)
  expect(taken()).toEqual([[11, 5000, 1]])
  mapping.close()
  copy.close()
})

test('the guard stays when other storage comes under the addresses', () => {
  const [mapping, bytes] = guarded(MapKind.shared, 12)
  const fd = memory(8192)
  const other = mapped(fd, 0, 8192, MapKind.shared)
  addon.close(fd)
  expect(mapping.takeOver(other)).toBe(0)
  expect(bytes[9]).toBe(0)
  expect(taken()).toEqual([[12, 9, 1]])
  mapping.close()
})

test('after unguard everything may be touched', () => {
  const [mapping, bytes] = guarded(MapKind.shared, 13)
  mapping.unguard()
  bytes.fill(1)
  expect(taken()).toEqual([])
  expect(mapping.allow(nothing, 0)).toBe(-EBADF)
  mapping.close()
  expect(mapping.guard(1)).toBe(-EBADF)
})

test('rights that make no sense are refused', () => {
  const [mapping] = guarded(MapKind.shared, 14)
  for (const parts of [
    [1, 4096, 1],
    [0, 100, 1],
    [0, 12_288, 1],
    [0, 4096, 3],
    [-4096, 4096, 1],
    [Number.NaN, 4096, 1],
  ]) {
    expect(mapping.allow(Float64Array.from(parts), 1)).toBe(-EINVAL)
  }
  expect(mapping.allow(nothing, 1)).toBe(-EINVAL)
  mapping.close()
})

const setUp = `
  const fd = addon.memfdCreate('test', 0)
  addon.allocate(fd, 8192)
  const mapping = addon.map(fd, 0, 8192, 0)
  const bytes = new Uint8Array(mapping.view())
  const none = new Float64Array(), words = new Float64Array(320)
  mapping.guard(1)
  let taken = 0
`

test('a hundred thousand violations, with traps of WebAssembly between them, lose nothing', () => {
  const child = inChild(`${setUp}
    // (module (memory 1) (func (export "load") (param i32) (result i32) local.get 0 i32.load))
    const wasm = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.of(
      0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1,
      7, 8, 1, 4, 108, 111, 97, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11)))
    let traps = 0, wrong = 0
    for (let i = 0; i < 100_000; i++) {
      mapping.allow(none, 0)
      if (i % 2 === 0) bytes[i % 8192] = i
      else if (bytes[(i - 1) % 8192] !== ((i - 1) & 255)) wrong++
      if (i % 50 === 0) taken += addon.takeViolations(words)
      if (i % 10 !== 0) continue
      try { wasm.exports.load(1 << 20) } catch (error) { if (error instanceof WebAssembly.RuntimeError) traps++ }
    }
    taken += addon.takeViolations(words)
    console.log(taken, traps, wrong, addon.lostViolations())
  `)
  expect(child.out.trim()).toBe('100000 10000 0 0')
})

test('violations beyond those that can wait are counted', () => {
  const child = inChild(`${setUp}
    for (let i = 0; i < 5000; i++) { mapping.allow(none, 0); bytes[0] = i }
    for (;;) { const count = addon.takeViolations(words); if (count === 0) break; taken += count }
    console.log(taken, addon.lostViolations())
  `)
  expect(child.out.trim()).toBe('4096 904')
})

test('a fault elsewhere still ends the process, and so does a signal that somebody sends', () => {
  const real = inChild(`${setUp}
    const block = addon.allocatePages(8192)
    const address = addon.addressOf(new Uint8Array(block))
    const vmem = addon.mapVmem(fd, address, 8192, address, 8192, false)
    vmem.share(fd)
    vmem.end(4096)
    bytes[0] = 1
    console.log('still here')
    new Uint8Array(block)[4096] = 1
    console.log('never here')
  `)
  expect([real.out.trim(), real.signal]).toEqual(['still here', 'SIGSEGV'])
  const sent = inChild(`${setUp} process.kill(process.pid, 'SIGSEGV'); await turn()`)
  expect(sent.signal).toBe('SIGSEGV')
})

test('where another handler was installed later nothing is taken away any more', () => {
  const child = inChild(`${setUp}
    process.on('SIGSEGV', () => {})
    console.log(mapping.allow(none, 0), mapping.guard(1))
    bytes.fill(1)
    console.log(addon.takeViolations(words))
  `)
  expect(child.out.trim().split('\n')).toEqual([`${-EDEADLK} ${-EDEADLK}`, '0'])
})
