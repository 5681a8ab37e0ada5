import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DmaBuf } from '../../src/index.ts'
import { READ_ONLY_SEALS, Seal, WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { memfd, withFd } from '../support/descriptor.ts'
import { codeNow, failure } from '../support/fails.ts'

const O_PATH = 0o10000000

useCensus()

function first(buffer: DmaBuf): number | undefined {
  return buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0])
}

test('a sealed memfd is taken, and its descriptor only borrowed', () =>
  withFd(memfd(5000, WRITABLE_SEALS, 3), (fd) => {
    const buffer = DmaBuf.fromFd(fd, { name: 'mine' })
    expect(buffer).toMatchObject({ name: 'mine', byteLength: 5000, offset: 0, sharing: 'writable' })
    expect([buffer.exporterName, buffer.role]).toEqual(['foreign', 'exporter'])
    expect(buffer.fd).not.toBe(fd)
    buffer.withCpuAccessSync('write', (cpu) => {
      cpu.bytes[1] = 4
    })
    buffer.close()
    expect(fstatSync(fd).size).toBe(5000)
    using again = DmaBuf.fromFd(fd)
    expect([first(again), again.withCpuAccessSync('read', (cpu) => cpu.bytes[1])]).toEqual([3, 4])
  }))

test('a buffer outlives the descriptor that it came from', async () => {
  const buffer = await withFd(memfd(4096, WRITABLE_SEALS, 3), (fd) => DmaBuf.fromFd(fd))
  expect(first(buffer)).toBe(3)
  buffer.close()
})

const sealed = {
  writable: [WRITABLE_SEALS, 'writable'],
  'future-write': [READ_ONLY_SEALS, 'read-only'],
  frozen: [Seal.shrink | Seal.grow | Seal.write | Seal.seal, 'read-only'],
} as const

test.each(Object.entries(sealed))(
  'memory with %s seals is as writable as its seals say',
  (_, [seals, sharing]) =>
    withFd(memfd(4096, seals, 5), (fd) => {
      using buffer = DmaBuf.fromFd(fd)
      expect([buffer.sharing, buffer.frozen]).toEqual([sharing, (seals & Seal.write) !== 0])
      expect(first(buffer)).toBe(5)
      if (sharing === 'writable') buffer.withCpuAccessSync('write', () => {})
      else expect(codeNow(() => buffer.beginCpuAccessSync('write'))).toBe('EACCES')
    }),
)

test.each([0, Seal.shrink, Seal.shrink | Seal.grow, Seal.seal, Seal.seal | Seal.grow])(
  'memory with no more than the seals %i may shrink, or be frozen under its writers, and must be trusted',
  (seals) =>
    withFd(memfd(4096, seals, 5), async (fd) => {
      const error = await failure(() => DmaBuf.fromFd(fd))
      expect(error.code).toBe('EPERM')
      expect(error.hint).toContain("trust: 'unsealed'")
      using buffer = DmaBuf.fromFd(fd, { trust: 'unsealed' })
      expect([first(buffer), buffer.sharing]).toEqual([5, 'writable'])
    }),
)

test('access: read never writes, although the descriptor could', () =>
  withFd(memfd(4096, WRITABLE_SEALS, 1), (fd) => {
    using buffer = DmaBuf.fromFd(fd, { access: 'read' })
    expect(buffer.sharing).toBe('read-only')
    expect(codeNow(() => buffer.beginCpuAccessSync('write'))).toBe('EACCES')
    buffer.withCpuAccessSync('read', (cpu) => {
      // A stray store stays here and kills nobody.
      cpu.bytes[0] = 9
    })
    using other = DmaBuf.fromFd(fd)
    expect(first(other)).toBe(1)
    buffer.refresh()
    expect(first(buffer)).toBe(1)
  }))

test('a descriptor that can only read gives a buffer that can only read', () =>
  withFd(memfd(4096, WRITABLE_SEALS, 7), (fd) =>
    withFd(addon().reopen(fd, constants.O_RDONLY), (reader) => {
      using buffer = DmaBuf.fromFd(reader)
      expect([first(buffer), buffer.sharing]).toEqual([7, 'read-only'])
      expect(codeNow(() => buffer.beginCpuAccessSync('write'))).toBe('EACCES')
    }),
  ))

test('a part begins at any byte; storage and views know where', () =>
  withFd(memfd(10_000, WRITABLE_SEALS), (fd) => {
    writeSync(fd, Uint8Array.of(1, 2, 3), 0, 3, 4999)
    using buffer = DmaBuf.fromFd(fd, { offset: 5000, byteLength: 2 })
    expect([buffer.offset, buffer.byteLength]).toEqual([5000, 2])
    expect(buffer.withCpuAccessSync('read', (cpu) => [...cpu.bytes])).toEqual([2, 3])
    using rest = DmaBuf.fromFd(fd, { offset: 5001 })
    expect([rest.byteLength, first(rest)]).toEqual([4999, 3])
    using range = rest.mmap({ offset: 0, length: 1 })
    expect([...range.bytes]).toEqual([3])
  }))

test.each([
  { offset: 4096 },
  { offset: 4097 },
  { byteLength: 4097 },
  { offset: 1, byteLength: 4096 },
  { offset: Number.MAX_SAFE_INTEGER, byteLength: Number.MAX_SAFE_INTEGER },
])('the range %j lies beyond the end', (range) =>
  withFd(memfd(4096, WRITABLE_SEALS), async (fd) => {
    const error = await failure(() => DmaBuf.fromFd(fd, range))
    expect(error.code).toBe('EINVAL')
    expect(error.message).toContain('beyond the 4096 bytes')
  }),
)

test('an empty file is nothing to map', () =>
  withFd(addon().memfdCreate('empty', 0), (fd) => {
    expect(codeNow(() => DmaBuf.fromFd(fd, { trust: 'unsealed' }))).toBe('EINVAL')
  }))

test('a truncation by another process is survived, and told', () =>
  withFd(memfd(16_384, 0, 5), async (fd) => {
    using buffer = DmaBuf.fromFd(fd, { trust: 'unsealed', name: 'victim' })
    using cpu = buffer.beginCpuAccessSync('read')
    const { bytes } = cpu
    expect(bytes[8192]).toBe(5)
    const truncate = "require('fs').ftruncateSync(3, 4096)"
    execFileSync(process.execPath, ['-e', truncate], { stdio: ['ignore', 'inherit', 'inherit', fd] })
    expect([bytes[0], bytes[8192], bytes[16_383]]).toEqual([5, 0, 0])
    for (const use of [() => buffer.beginCpuAccessSync('read'), () => cpu.copy(), () => cpu.text()]) {
      const error = await failure(use)
      expect(error.code).toBe('ENODEV')
      expect(error.message).toContain('victim was truncated')
    }
    using range = buffer.mmap({ offset: 8192 })
    expect(range.bytes[0]).toBe(0)
    using shorter = DmaBuf.fromFd(fd, { trust: 'unsealed' })
    expect([shorter.byteLength, first(shorter)]).toEqual([4096, 5])
  }))

test('a truncation that copy() alone meets is survived too', () =>
  withFd(memfd(16_384), async (fd) => {
    using buffer = DmaBuf.fromFd(fd, { trust: 'unsealed' })
    using cpu = buffer.beginCpuAccessSync('read')
    ftruncateSync(fd, 0)
    expect((await failure(() => cpu.copy())).message).toContain('was truncated')
  }))

test('a file in /dev/shm is memory that may shrink', () => {
  const directory = mkdtempSync('/dev/shm/dmabuf-test-')
  const fd = openSync(join(directory, 'file'), 'w+')
  try {
    writeSync(fd, 'hello')
    expect(codeNow(() => DmaBuf.fromFd(fd))).toBe('EPERM')
    using buffer = DmaBuf.fromFd(fd, { trust: 'unsealed' })
    expect(buffer.withCpuAccessSync('read', (cpu) => cpu.text())).toBe('hello')
  } finally {
    closeSync(fd)
    rmSync(directory, { recursive: true })
  }
})

describe('what is no memory is refused with its name', () => {
  const refuse = async (fd: number, found: string | RegExp) => {
    for (const trust of ['sealed', 'unsealed'] as const) {
      const error = await failure(() => DmaBuf.fromFd(fd, { trust }))
      expect(error.code).toBe('EINVAL')
      expect(error.message).toMatch(found)
      expect(error.message).toContain(`descriptor ${fd} is neither shared memory nor a dma-buf`)
    }
  }

  test('a directory, a device, a file on disk', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'dmabuf-test-'))
    try {
      await withFd(addon().open(directory, constants.O_RDONLY, 0), (fd) => refuse(fd, directory))
      const file = join(directory, 'file')
      await withFd(addon().open(file, constants.O_RDWR | constants.O_CREAT, 0o600), (fd) =>
        refuse(fd, 'it is'),
      )
      await withFd(addon().open('/dev/zero', constants.O_RDWR, 0), (fd) => refuse(fd, '/dev/zero'))
      await withFd(addon().open('/dev/shm', constants.O_RDONLY, 0), (fd) => refuse(fd, 'it is'))
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test('a pipe, a socket, an epoll set', async () => {
    expect(addon().pipe()).toBe(0)
    const [reader = -1, writer = -1] = addon().scratch.descriptors
    await withFd(reader, (fd) => refuse(fd, 'pipe:'))
    await withFd(writer, (fd) => refuse(fd, 'pipe:'))
    await withFd(addon().socket(), (fd) => refuse(fd, 'socket:'))
    await withFd(addon().epollCreate(), (fd) => refuse(fd, 'eventpoll'))
    const server = createServer()
    server.close()
  })

  test('a mere path to memory', () =>
    withFd(memfd(4096, WRITABLE_SEALS), (fd) =>
      withFd(addon().open(`/proc/self/fd/${fd}`, O_PATH, 0), (path) => refuse(path, 'path')),
    ))

  test('memory that cannot be read', () =>
    withFd(memfd(4096, WRITABLE_SEALS), (fd) =>
      withFd(addon().reopen(fd, constants.O_WRONLY), (writer) => refuse(writer, 'O_WRONLY')),
    ))

  test('a number behind which nothing is open', async () => {
    const fd = memfd(4096)
    addon().close(fd)
    await refuse(fd, 'it is not open')
    await refuse(2 ** 31 - 1, 'it is not open')
  })
})
