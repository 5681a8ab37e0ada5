import { fstatSync, ftruncateSync } from 'node:fs'
import { constants } from 'node:os'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MapKind } from '../../src/native/addon.ts'
import { useCensus } from '../support/census.ts'
import { addon, bytesOf, inChild, mapped, memory } from './load.ts'

const { EACCES, EBADF, EFAULT, EINVAL, ENOSPC, EPERM } = constants.errno
const SEAL_FUTURE_WRITE = 0x10

useCensus()

/** Bytes of memory that a file really has. */
function held(fd: number): number {
  return fstatSync(fd).blocks * 512
}

test('a file of a given size is a hole until it is written or reserved', () => {
  const fd = addon.memfdCreate('test', 0)
  expect(addon.truncate(fd, 1 << 20)).toBe(0)
  expect([fstatSync(fd).size, held(fd)]).toEqual([1 << 20, 0])
  const source = memory(8192)
  const from = mapped(source, 0, 8192, MapKind.shared)
  bytesOf(from).fill(3)
  expect(addon.copyToFile(from, 0, 8192, fd, 4096)).toBe(0)
  expect(held(fd)).toBe(8192)
  expect(addon.reserve(fd, 12288, (1 << 20) - 12288)).toBe(0)
  expect(held(fd)).toBe((1 << 20) - 4096)
  expect(addon.reserve(fd, 0, 1 << 20)).toBe(0)
  const written = mapped(fd, 0, 1 << 20, MapKind.shared)
  const bytes = bytesOf(written)
  expect([bytes[4095], bytes[4096], bytes[12287], bytes[12288]]).toEqual([0, 3, 3, 0])
  for (const mapping of [from, written]) mapping.close()
  for (const one of [fd, source]) addon.close(one)
})

test('any range is copied, into a file and into a mapping, and nothing beside it', () => {
  const size = 10_000
  const [a, b, c] = [memory(size), memory(size), memory(size)]
  const from = mapped(a, 0, size, MapKind.sharedReadOnly)
  const writer = mapped(a, 0, size, MapKind.shared)
  const source = bytesOf(writer).map((_, i) => i % 251)
  bytesOf(writer).set(source)
  const [file, to] = [mapped(b, 0, size, MapKind.sharedReadOnly), mapped(c, 0, size, MapKind.shared)]
  const place = fc.integer({ min: 0, max: size })
  fc.assert(
    fc.property(place, place, place, (offset, target, wanted) => {
      const length = Math.min(wanted, size - offset, size - target)
      bytesOf(to).fill(255)
      expect(addon.copyMapping(to, 0, to, 0, size)).toBe(0)
      expect(addon.copyToFile(to, 0, size, b, 0)).toBe(0)
      expect(addon.copyToFile(from, offset, length, b, target)).toBe(0)
      expect(addon.copyMapping(from, offset, to, target, length)).toBe(0)
      const expected = new Uint8Array(size).fill(255)
      expected.set(source.subarray(offset, offset + length), target)
      expect(Buffer.compare(bytesOf(file), expected)).toBe(0)
      expect(Buffer.compare(bytesOf(to), expected)).toBe(0)
    }),
    { numRuns: 200 },
  )
  for (const mapping of [from, writer, file, to]) mapping.close()
  for (const fd of [a, b, c]) addon.close(fd)
})

test('a copy is refused with the errno that says why', () => {
  const [a, b] = [memory(8192), memory(8192)]
  const [from, to] = [mapped(a, 0, 8192, MapKind.shared), mapped(b, 0, 8192, MapKind.shared)]
  const readOnly = mapped(b, 0, 8192, MapKind.sharedReadOnly)
  const closed = mapped(b, 0, 8192, MapKind.shared)
  closed.close()
  const wrong: [number, number, number][] = [
    [0, 8193, 0],
    [8193, 0, 0],
    [8192, 1, 0],
    [-1, 1, 0],
    [0, 0.5, 0],
    [0, Number.NaN, 0],
    [2 ** 53, 2 ** 53, 0],
    [0, 1, -1],
  ]
  for (const [offset, length, target] of wrong) {
    expect(addon.copyToFile(from, offset, length, b, target)).toBe(-EINVAL)
    expect(addon.copyMapping(from, offset, to, target, length)).toBe(-EINVAL)
  }
  expect(addon.copyMapping(from, 0, to, 1, 8192)).toBe(-EINVAL)
  expect(addon.copyMapping(from, 0, readOnly, 0, 1)).toBe(-EACCES)
  expect(addon.copyMapping(from, 0, closed, 0, 1)).toBe(-EBADF)
  expect(addon.copyMapping(closed, 0, to, 0, 1)).toBe(-EBADF)
  expect(addon.copyToFile(closed, 0, 1, b, 0)).toBe(-EBADF)
  expect(addon.copyToFile(from, 0, 1, -1, 0)).toBe(-EBADF)
  expect(() => addon.copyToFile({} as never, 0, 1, b, 0)).toThrow(TypeError)
  expect(() => addon.copyMapping(from, 0, {} as never, 0, 1)).toThrow(TypeError)
  expect(addon.copyToFile(from, 0, 0, b, 0)).toBe(0)

  const full = addon.open('/dev/full', 1, 0)
  expect(addon.copyToFile(from, 0, 8192, full, 0)).toBe(-ENOSPC)
  expect(addon.addSeals(b, SEAL_FUTURE_WRITE)).toBe(0)
  expect(addon.copyToFile(from, 0, 8192, b, 0)).toBe(-EPERM)
  // The one way in that is left.
  bytesOf(from)[8191] = 4
  expect(addon.copyMapping(from, 0, to, 0, 8192)).toBe(0)
  expect(bytesOf(to)[8191]).toBe(4)
  for (const mapping of [from, to, readOnly]) mapping.close()
  for (const fd of [a, b, full]) addon.close(fd)
})

test('sizes and ranges that no file has are refused', () => {
  const fd = memory(4096)
  for (const bytes of [0, -1, 0.5, 2 ** 54, Number.NaN]) {
    expect(addon.truncate(fd, bytes)).toBe(-EINVAL)
    expect(addon.reserve(fd, 0, bytes)).toBe(-EINVAL)
  }
  expect(addon.reserve(fd, 2 ** 53, 2 ** 53)).toBeLessThan(0)
  expect(addon.reserve(fd, 0, 2 ** 52)).toBe(-ENOSPC)
  expect(addon.truncate(-1, 4096)).toBe(-EBADF)
  expect(addon.reserve(-1, 0, 4096)).toBe(-EBADF)
  expect([fstatSync(fd).size, held(fd)]).toEqual([4096, 4096])
  addon.close(fd)
})

test('beyond the limit on file sizes a copy is an errno, and no signal', () => {
  const { status, out } = inChild(
    `const [a, b] = ['a', 'b'].map((name) => addon.memfdCreate(name, 0))
    addon.allocate(a, 65536)
    const from = addon.map(a, 0, 65536, 0)
    console.log(addon.truncate(b, 2e6), addon.copyToFile(from, 0, 65536, b, 1e6), addon.reserve(b, 1e6, 65536))
    console.log(addon.truncate(b, 65536), addon.copyToFile(from, 0, 65536, b, 0))`,
    'ulimit -f 2000; exec "$@"',
  )
  const { EFBIG } = constants.errno
  expect(out).toBe(`-${EFBIG} -${EFBIG} -${EFBIG}\n0 0\n`)
  expect(status).toBe(0)
})

test('a source or a target that was truncated is an error, and the process lives', () => {
  const [a, b, c] = [memory(16384), memory(16384), memory(16384)]
  const read = mapped(a, 0, 16384, MapKind.sharedReadOnly)
  const loaded = mapped(a, 0, 16384, MapKind.shared)
  ftruncateSync(a, 4096)
  // The kernel itself meets the missing page.
  expect(addon.copyToFile(read, 0, 16384, b, 0)).toBe(-EFAULT)
  expect(addon.copyToFile(read, 4096, 4096, b, 0)).toBe(-EFAULT)
  const [whole, lost] = [mapped(b, 0, 16384, MapKind.shared), mapped(c, 0, 16384, MapKind.shared)]
  expect(addon.copyMapping(loaded, 0, whole, 0, 16384)).toBe(-EFAULT)
  expect([loaded.faulted, whole.faulted]).toEqual([true, false])
  // Zeros that stand for lost pages are not contents.
  expect(addon.copyToFile(loaded, 0, 16384, b, 0)).toBe(-EFAULT)
  ftruncateSync(c, 0)
  expect(addon.copyMapping(whole, 0, lost, 0, 16384)).toBe(-EFAULT)
  expect([whole.faulted, lost.faulted]).toEqual([false, true])
  for (const mapping of [read, loaded, whole, lost]) mapping.close()
  for (const fd of [a, b, c]) addon.close(fd)
})
