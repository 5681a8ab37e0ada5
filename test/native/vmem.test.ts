import { constants } from 'node:os'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { segmentsOf } from '../../src/exporters/vmemexp/frames.ts'
import { growable, MAPPED_BYTES, resizable } from '../support/blocks.ts'
import { addon, inChild, mapped, memory } from './load.ts'

const { EBADF, EFAULT, EINVAL } = constants.errno
const page = addon.pageSize

function addressOf(buffer: ArrayBufferLike): number {
  return addon.addressOf(new Uint8Array(buffer))
}

test('asking the kernel for an address and reading the text of all mappings tell the same', () => {
  const fd = memory(4 * page)
  const mapping = mapped(fd, page, 2 * page, 0)
  const ranges: [number, number][] = [
    [addressOf(mapping.view() as ArrayBuffer), 2 * page],
    [addressOf(resizable(10 * page)), 10 * page],
    [addressOf(growable(10 * page)) + 5, page],
    [addressOf(new ArrayBuffer(MAPPED_BYTES)), MAPPED_BYTES],
    [0, page],
    [2 ** 46, page],
  ]
  for (const [address, length] of ranges) {
    const asked = addon.mappingsOver(address, length, false)
    expect(addon.mappingsOver(address, length, true)).toEqual(asked)
  }
  expect(addon.mappingsOver(ranges[0]?.[0] ?? 0, 2 * page, false)).toEqual([
    expect.objectContaining({ offset: page, shared: true, readable: true, writable: true }),
  ])
  expect(addon.mappingsOver(0, page, false)).toBe(-EFAULT)
  addon.close(fd)
})

test('only what malloc has mapped by itself passes for that', () => {
  const large = new ArrayBuffer(MAPPED_BYTES)
  const ours = addon.allocatePages(MAPPED_BYTES) as ArrayBuffer
  for (const block of [new ArrayBuffer(100), resizable(MAPPED_BYTES), ours]) {
    expect(addon.isMappedChunk(addressOf(block), block.byteLength)).toBe(0)
  }
  // Another length than the one that was asked for: it lies in memory of somebody else.
  expect(addon.isMappedChunk(addressOf(large), MAPPED_BYTES / 2)).toBe(0)
  expect([addon.isPageBlock(addressOf(ours)), addon.isPageBlock(addressOf(large))]).toEqual([1, 0])
})

test('an export wants whole pages inside its range, and answers calls in any order', () => {
  const block = addon.allocatePages(8 * page) as ArrayBuffer
  const address = addressOf(block)
  const fd = memory(8 * page)
  const wrong: [number, number, number, number][] = [
    [address, 8 * page, address + 1, page],
    [address, 8 * page, address, page + 1],
    [address, 8 * page, address, 9 * page],
    [address + page, page, address, page],
  ]
  for (const [from, length, live, liveLength] of wrong) {
    expect(addon.mapVmem(fd, from, length, live, liveLength, false)).toBe(-EINVAL)
  }
  expect(addon.mapVmem(-1, address, page, address, page, false)).toBe(-EBADF)
  const vmem = addon.mapVmem(fd, address, 8 * page, address, 8 * page, false)
  if (typeof vmem === 'number') return expect.unreachable()
  expect(vmem.end(8 * page)).toBe(0)
  expect(vmem.share(fd)).toBe(0)
  expect(vmem.share(fd)).toBe(-EBADF)
  expect(addon.isExported(address + page, 1)).toBe(1)
  expect(vmem.end(100)).toBe(-EINVAL)
  expect(vmem.end(8 * page)).toBe(0)
  expect(vmem.end(8 * page)).toBe(0)
  vmem.step()
  vmem.abandon()
  expect([vmem.lock(), vmem.populate(), vmem.share(fd)]).toEqual([-EBADF, -EBADF, -EBADF])
  expect(addon.isExported(address, 8 * page)).toBe(0)
  addon.close(fd)
})

test('the same pages are not exported twice, whichever threads try it at once', () => {
  const address = addressOf(addon.allocatePages(8 * page) as ArrayBuffer)
  const fd = memory(8 * page)
  const [first, second] = [1, 2].map(() => addon.mapVmem(fd, address, 8 * page, address, 8 * page, false))
  if (typeof first !== 'object' || typeof second !== 'object') return expect.unreachable()
  expect([first.share(fd), second.share(fd)]).toEqual([0, -constants.errno.EBUSY])
  expect([first.end(8 * page), second.share(fd), second.end(8 * page)]).toEqual([0, 0, 0])
  addon.close(fd)
})

test('an exchange that cannot be done leaves the memory as it was', () => {
  const block = addon.allocatePages(8 * page) as ArrayBuffer
  const bytes = new Uint8Array(block).fill(3)
  const address = addressOf(block)
  const fd = memory(8 * page)
  const vmem = addon.mapVmem(fd, address, 8 * page, address, 8 * page, false)
  if (typeof vmem === 'number') return expect.unreachable()
  expect(vmem.share(-1)).toBe(-EBADF)
  bytes.fill(4)
  expect(bytes.every((byte) => byte === 4)).toBe(true)
  expect(addon.isExported(address, 1)).toBe(0)
  vmem.abandon()
  addon.close(fd)
})

test('without the handler that lets writers wait nothing is exported', () => {
  const { out } = inChild(`
    const block = addon.allocatePages(8192)
    const address = addon.addressOf(new Uint8Array(block))
    const fd = addon.memfdCreate('test', 0)
    addon.allocate(fd, 8192)
    const first = addon.mapVmem(fd, address, 8192, address, 8192, false)
    console.log(first.share(fd), first.end(8192))
    process.on('SIGSEGV', () => {})
    const second = addon.mapVmem(fd, address, 8192, address, 8192, false)
    console.log(second.share(fd) === -require('os').constants.errno.EDEADLK)
  `)
  expect(out.trim().split('\n')).toEqual(['0 0', 'true'])
})

test('a real fault in memory that was exported once still ends the process', () => {
  const child = inChild(`
    const block = addon.allocatePages(8192)
    const address = addon.addressOf(new Uint8Array(block))
    const fd = addon.memfdCreate('test', 0)
    addon.allocate(fd, 8192)
    const vmem = addon.mapVmem(fd, address, 8192, address, 8192, false)
    vmem.share(fd)
    // As a resizable block that has become shorter: inaccessible from its second page on.
    vmem.end(4096)
    new Uint8Array(block)[0] = 1
    console.log('still here')
    new Uint8Array(block)[4096] = 1
    console.log('never here')
  `)
  expect([child.out.trim(), child.signal]).toEqual(['still here', 'SIGSEGV'])
})

test('page frames become runs that are as long as the buffer and begin at its first byte', () => {
  const present = 1n << 63n
  const frames = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(frames, fc.nat(4095), fc.nat(4094), (numbers, lead, missing) => {
      const byteLength = numbers.length * 4096 - lead - (numbers.length === 1 ? 0 : missing)
      const words = BigUint64Array.from(numbers, (number) => BigInt(number) | present)
      const segments = segmentsOf(words, 4096, lead, byteLength) ?? []
      const addresses = segments.flatMap(({ address, length }) =>
        Array.from(
          { length: Math.ceil(((address % 4096) + length) / 4096) },
          (_, n) => Math.floor(address / 4096) + n,
        ),
      )
      expect(addresses).toEqual(numbers)
      expect(segments[0]?.address).toBe((numbers[0] ?? 0) * 4096 + lead)
      expect(segments.reduce((sum, { length }) => sum + length, 0)).toBe(byteLength)
    }),
  )
  expect(segmentsOf(BigUint64Array.of(5n), 4096, 0, 100)).toBeUndefined()
  expect(segmentsOf(BigUint64Array.of(present), 4096, 0, 100)).toBeUndefined()
})
