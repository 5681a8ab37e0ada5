import { constants } from 'node:buffer'
import { freemem } from 'node:os'
import { beforeAll, describe, expect, test } from 'vitest'
import { type AllocateOptions, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { inspect } from '../../src/memory/facts.ts'
import { addon } from '../../src/native/load.ts'
import { sharedMappings, useCensus } from '../support/census.ts'
import { codeOf } from '../support/fails.ts'

const GiB = 2 ** 30
const heap = new SystemHeap()
const sharings = ['writable', 'read-only'] as const

useCensus()
beforeAll(() => {
  // Loads the addon.
  heap.allocateSync(1).close()
})

function factsOf(buffer: DmaBuf) {
  const facts = inspect(buffer.fd)
  if (typeof facts === 'number') throw new Error(`inspect: ${facts}`)
  return facts
}

describe.each(sharings)('memory shared as %s', (sharing) => {
  test.each([1, 4095, 4096, 4097, 33 << 20])(
    'of %i bytes is zeroed, whole pages, and keeps its true size',
    async (size) => {
      using buffer = await heap.allocate(size, { sharing, name: 'sized' })
      expect([buffer.byteLength, buffer.offset, buffer.sharing, buffer.name]).toEqual([
        size,
        0,
        sharing,
        'sized',
      ])
      expect([buffer.role, buffer.exporterName, buffer.frozen, buffer.revoked]).toEqual([
        'exporter',
        'system',
        false,
        false,
      ])
      expect(factsOf(buffer).size).toBe(Math.ceil(size / 4096) * 4096)
      using cpu = buffer.beginCpuAccessSync('read-write')
      expect(cpu.bytes.length).toBe(size)
      expect([cpu.bytes[0], cpu.bytes[size - 1]]).toEqual([0, 0])
      cpu.bytes.fill(7)
      expect(cpu.bytes.every((byte) => byte === 7)).toBe(true)
    },
  )

  test('has its seals before anybody sees its descriptor', async () => {
    using buffer = await heap.allocate(4096, { sharing })
    const { seals, links } = factsOf(buffer)
    // SHRINK 2, GROW 4, with SEAL 1 or FUTURE_WRITE 16; a kernel may add EXEC 32 by itself.
    expect(seals & 0x1f).toBe(sharing === 'writable' ? 0x07 : 0x16)
    expect(links).toBe(0)
    expect(addon().allocate(buffer.fd, 8192)).toBe(-1)
    if (sharing === 'writable') expect(addon().addSeals(buffer.fd, 8)).toBe(-1)
    else expect(addon().map(buffer.fd, 0, 4096, 0)).toBe(-1)
  })

  test('is mapped under its name while it is used, and not any more after close', async () => {
    const name = `maps ${sharing}`
    const lines = () => sharedMappings().filter((line) => line.includes(`memfd:dmabuf:${name}`)).length
    const buffer = await heap.allocate(1 << 20, { sharing, name })
    buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(1))
    expect(lines()).toBe(1)
    buffer.close()
    expect(lines()).toBe(0)
  })
})

test('a buffer that is never looked at is never mapped', async () => {
  const before = sharedMappings().length
  using buffer = await heap.allocate(1 << 20)
  expect(buffer.byteLength).toBe(1 << 20)
  expect(sharedMappings()).toHaveLength(before)
})

const big = 5 * GiB

test.runIf(freemem() > 2 * big)(
  'memory beyond 4 GiB is allocated, and looked at in ranges where one view cannot show it (needs 5 GiB of memory)',
  async () => {
    using buffer = await heap.allocate(big + 1)
    expect(buffer.byteLength).toBe(big + 1)
    using cpu = buffer.beginCpuAccessSync('write', { offset: big - 10 })
    cpu.bytes[10] = 9
    expect(cpu.copy().bytes).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9))
    using tail = buffer.mmap({ offset: big })
    expect(tail.bytes).toEqual(Uint8Array.of(9))
    using whole = buffer.beginCpuAccessSync('read')
    if (big > constants.MAX_LENGTH) {
      expect(await codeOf(() => whole.bytes)).toBe('EFBIG')
      expect(await codeOf(() => buffer.mmap())).toBe('EFBIG')
    } else expect(whole.bytes.length).toBe(big + 1)
  },
)

const wrongSizes = [
  0,
  -1,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  '1',
  1n,
  null,
  undefined,
  {},
  [],
]

test.each(wrongSizes)('a size of %s is refused', async (size) => {
  expect(await codeOf(() => heap.allocate(size as number))).toBe('EINVAL')
})

test('a size beyond every memory is refused by the budget', async () => {
  expect(await codeOf(() => heap.allocate(Number.MAX_SAFE_INTEGER))).toBe('EDQUOT')
})

const wrongOptions: unknown[] = [
  { nmae: 'x' },
  { name: 5 },
  { name: 'a\0b' },
  { name: 'x'.repeat(32) },
  { name: 'é'.repeat(16) },
  { sharing: 'readonly' },
  { prefault: 1 },
  { hugePages: true },
  { hugePages: '4MiB' },
  null,
  'fast',
  [],
]

test.each(wrongOptions)('the options %j are refused', async (options) => {
  expect(await codeOf(() => heap.allocate(4096, options as AllocateOptions))).toBe('EINVAL')
  expect(await codeOf(() => heap.pool({ ...(options as object), byteLength: 1, buffers: 0 }))).toBe('EINVAL')
})

test('names of 31 bytes in any script are taken', async () => {
  for (const name of ['x'.repeat(31), `${'é'.repeat(15)}a`, 'with spaces / and slashes', 'a\nb']) {
    using buffer = await heap.allocate(1, { name })
    expect(buffer.name).toBe(name)
  }
})
