import { closeSync, openSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { Fact } from '../../src/native/addon.ts'
import { addon, memory, openDescriptors, sockets } from './load.ts'

const { EBADF, EINVAL, EPERM, EFBIG } = constants.errno
const O_PATH = 0o10000000

test('close consumes a descriptor once', () => {
  const before = openDescriptors()
  const fd = memory(4096)
  expect(addon.close(fd)).toBe(0)
  expect(addon.close(fd)).toBe(-EBADF)
  expect(openDescriptors()).toBe(before)
})

test('a duplicate is the same file, another memfd is not', () => {
  const a = memory(4096)
  const b = addon.duplicate(a)
  const c = memory(4096)
  expect(addon.sameFile(a, b)).toBe(1)
  expect(addon.sameFile(a, c)).toBe(0)
  expect(addon.sameFile(a, -100)).toBe(-EBADF)
  for (const fd of [a, b, c]) addon.close(fd)
})

test('adopt and release set and clear close-on-exec', () => {
  const flags = (fd: number) =>
    Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8)
  const CLOEXEC = 0o2000000
  const fd = memory(4096)
  expect(flags(fd) & CLOEXEC).toBe(CLOEXEC)
  expect(addon.release(fd, true)).toBe(0)
  expect(flags(fd) & CLOEXEC).toBe(0)
  expect(addon.adopt(fd)).toBe(fd)
  expect(flags(fd) & CLOEXEC).toBe(CLOEXEC)
  addon.close(fd)
  expect(addon.adopt(fd)).toBe(-EBADF)
})

test('reopen opens the same file anew', () => {
  const fd = memory(4096)
  const readOnly = addon.reopen(fd, 0)
  expect(readOnly).toBeGreaterThan(2)
  expect(addon.sameFile(fd, readOnly)).toBe(1)
  addon.close(fd)
  addon.close(readOnly)
  expect(addon.reopen(fd, 0)).toBe(-EBADF)
})

test('seals hold', () => {
  const fd = memory(4096)
  expect(addon.addSeals(fd, 2 | 4 | 1)).toBe(0)
  expect(addon.getSeals(fd) & 7).toBe(7)
  expect(addon.allocate(fd, 8192)).toBe(-EPERM)
  expect(addon.addSeals(fd, 8)).toBe(-EPERM)
  addon.close(fd)
})

test('allocation refuses what cannot be', () => {
  const fd = addon.memfdCreate('x', 0)
  expect(addon.allocate(fd, 0)).toBe(-EINVAL)
  expect(addon.allocate(fd, -1)).toBe(-EINVAL)
  expect(addon.allocate(fd, 1.5)).toBe(-EINVAL)
  expect(addon.allocate(fd, 2 ** 50)).toBe(-constants.errno.ENOSPC)
  expect([-EINVAL, -EFBIG]).toContain(addon.allocate(fd, 2 ** 60))
  addon.close(fd)
})

test('the gate learns all of a memfd', () => {
  const fd = memory(12288)
  expect(addon.inspect(fd, false)).toBe(0)
  const facts = addon.scratch.facts
  expect(facts[Fact.fileSystem]).toBe(0x01021994)
  expect(facts[Fact.mode]! & 0o170000).toBe(0o100000)
  expect(facts[Fact.links]).toBe(0)
  expect(facts[Fact.sizeLow]).toBe(12288)
  expect(facts[Fact.statusFlags]! & 3).toBe(2)
  expect(addon.linkTarget(fd)).toBe('/memfd:test (deleted)')
  addon.close(fd)
  expect(addon.inspect(fd, false)).toBe(-EBADF)
  expect(addon.linkTarget(fd)).toBe(-EBADF)
})

test('the gate asks no inode of what has no seals, unless told to', () => {
  addon.pipe()
  const pipe = [addon.scratch.descriptors[0]!, addon.scratch.descriptors[1]!]
  const others = [openSync('/', 'r'), openSync('/dev/zero', 'r'), openSync('/', O_PATH)]
  const pair = sockets()
  for (const fd of [...pipe, ...others, ...pair]) {
    expect(addon.inspect(fd, false)).toBe(0)
    expect(addon.scratch.facts[Fact.seals]).toBe(0xffff_ffff)
    expect(addon.scratch.facts[Fact.mode]).toBe(0)
    expect(addon.scratch.facts[Fact.inodeLow]).toBe(0)
    addon.inspect(fd, true)
    expect(addon.scratch.facts[Fact.mode]).not.toBe(0)
  }
  expect(addon.linkTarget(pipe[0]!)).toMatch(/^pipe:\[\d+\]$/)
  for (const fd of others) closeSync(fd)
  for (const fd of [...pipe, ...pair]) addon.close(fd)
})

test('closeLater closes everything off the thread', async () => {
  const before = openDescriptors()
  addon.pipe()
  const [reader, writer] = [addon.scratch.descriptors[0]!, addon.scratch.descriptors[1]!]
  const ended = new Promise<number>((resolve) => {
    const poll = new addon.Poll(reader, (events) => {
      poll.close()
      resolve(events)
    })
    poll.start(4)
  })
  addon.closeLater([writer])
  expect(await ended).toBe(4)
  addon.close(reader)
  expect(openDescriptors()).toBe(before)
})

test('a wrong type is a TypeError', () => {
  const loose = addon as unknown as Record<string, (...args: unknown[]) => unknown>
  for (const name of [
    'close',
    'duplicate',
    'adopt',
    'reopen',
    'memfdCreate',
    'map',
    'send',
    'receive',
    'bind',
  ]) {
    expect(() => loose[name]!('x'), name).toThrow(TypeError)
    expect(() => loose[name]!(), name).toThrow(TypeError)
  }
  expect(() => loose['closeLater']!([1.5, 'x'])).toThrow(TypeError)
  expect(addon.close(1.5)).toBe(-EINVAL)
  expect(addon.close(2 ** 40)).toBe(-EINVAL)
  expect(addon.dmaBufSync(memory(4096), 0)).toBe(-constants.errno.ENOTTY)
})

test('what is no dma-buf and no sync file says so', () => {
  const fd = memory(4096)
  expect(addon.dmaBufExportSyncFile(fd, 1)).toBe(-constants.errno.ENOTTY)
  expect(addon.dmaBufImportSyncFile(fd, 1, fd)).toBe(-constants.errno.ENOTTY)
  expect(addon.syncFileInfo(fd, new Uint8Array(56))).toBe(-constants.errno.ENOTTY)
  expect(addon.syncFileInfo(-1, new Uint8Array(136))).toBe(-EBADF)
  expect(addon.syncFileInfo(fd, new Uint8Array(55))).toBe(-EINVAL)
  expect(() => addon.syncFileInfo(fd, new Uint32Array(56) as never)).toThrow(TypeError)
  addon.close(fd)
})
