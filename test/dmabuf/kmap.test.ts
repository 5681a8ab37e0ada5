import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import fc from 'fast-check'
import { beforeAll, expect, test, vi } from 'vitest'
import { bufinfo, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { exported } from '../support/exported.ts'
import { codeNow, failure } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { warmSharing } from '../support/warm-sharing.ts'
import { zeroCopyTest } from '../support/zero-copy.ts'

const PAGE = addon().pageSize
const heap = new SystemHeap()
const release = () => {}

beforeAll(warmSharing)
useCensus()

function faults(buffer: DmaBuf): number | undefined {
  return bufinfo().find(({ name }) => name === buffer.name)?.bracketFaults.leftMapped
}

test('begin_cpu_access, kmap, access, kunmap, end_cpu_access: the exporter and the core see them in this order', () => {
  const seen: string[] = []
  const op =
    (name: string) =>
    (...args: unknown[]) =>
      void seen.push([name, ...args].join(' '))
  const channels = ['begin', 'kmap', 'kunmap', 'end'].map((what) => {
    const listener = (message: unknown) => {
      const { page = '' } = message as { page?: number }
      seen.push(`core: ${what} ${page}`.trimEnd())
    }
    subscribe(`dmabuf:cpu:${what}`, listener)
    return () => unsubscribe(`dmabuf:cpu:${what}`, listener)
  })
  const ops = {
    beginCpuAccess: op('beginCpuAccess'),
    kmap: op('kmap'),
    kunmap: op('kunmap'),
    endCpuAccess: op('endCpuAccess'),
    release,
  }
  {
    using buffer = exported(ops)
    const cpu = buffer.beginCpuAccessSync('write', { offset: PAGE, length: 2 * PAGE })
    const page = cpu.kmap(2)
    page.bytes[0] = 7
    page.kunmap()
    cpu.end()
    using check = buffer.beginCpuAccessSync('read', { offset: 2 * PAGE, length: 1 })
    expect(check.bytes[0]).toBe(7)
  }
  for (const stop of channels) stop()
  expect(seen.slice(0, 8)).toEqual([
    `beginCpuAccess write ${PAGE} ${2 * PAGE}`,
    'core: begin',
    'kmap 2',
    'core: kmap 2',
    'core: kunmap 2',
    'kunmap 2',
    `endCpuAccess write ${PAGE} ${2 * PAGE}`,
    'core: end',
  ])
})

test('a page shows its bytes of the buffer, whatever memory that has', async () => {
  const kinds = [
    { sharing: 'writable' },
    { sharing: 'read-only' },
    { coherency: 'strict' },
    { coherency: 'non-coherent' },
  ] as const
  for (const kind of kinds) {
    using buffer = await heap.allocate(3 * PAGE - 100, kind)
    buffer.withCpuAccessSync('write', (cpu) => {
      for (const number of [0, 1, 2]) {
        using page = cpu.kmap(number)
        expect([page.page, page.offset, page.byteLength]).toEqual([
          number,
          number * PAGE,
          number === 2 ? PAGE - 100 : PAGE,
        ])
        page.bytes.fill(number + 1)
      }
    })
    buffer.withCpuAccessSync('read', (cpu) => {
      expect([cpu.bytes[PAGE - 1], cpu.bytes[PAGE], cpu.bytes[2 * PAGE], cpu.bytes.at(-1)]).toEqual([
        1, 2, 3, 3,
      ])
    })
  }
})

test('of a placed buffer it goes on showing the bytes when the storage has moved', async () => {
  const buffer = await heap.allocate(2 * PAGE, { movable: true })
  const write = await buffer.beginCpuAccess('write')
  write.kmap(1).bytes[3] = 9
  write.end()
  using read = await buffer.beginCpuAccess('read')
  using page = read.kmap(1)
  expect(page.bytes[3]).toBe(9)
  buffer.close()
})

test('just the pages that a bracket touches can be mapped', () => {
  fc.assert(
    fc.property(fc.nat(4 * PAGE), fc.nat(4 * PAGE), fc.integer({ min: 0, max: 6 }), (from, to, page) => {
      const [offset, end] = [Math.min(from, to), Math.max(from, to)]
      using buffer = heap.allocateSync(4 * PAGE - 5)
      const size = buffer.byteLength
      fc.pre(end <= size)
      using cpu = buffer.beginCpuAccessSync('read', { offset, length: end - offset })
      const touched = offset < end && page * PAGE < end && (page + 1) * PAGE > offset
      if (touched) cpu.kmap(page).kunmap()
      else expect(codeNow(() => cpu.kmap(page))).toBe('EINVAL')
    }),
    { numRuns: 60 },
  )
})

zeroCopyTest('what is wrong with a page is said with what would be right', async () => {
  using buffer = heap.allocateSync(4 * PAGE, { name: 'walked' })
  using cpu = buffer.beginCpuAccessSync('read', { offset: PAGE + 1, length: PAGE })
  expect((await failure(() => cpu.kmap(3))).message).toContain(
    'page 3 of buffer walked is outside the bracket, whose pages are 1 to 2',
  )
  for (const bad of [-1, 0.5, Number.NaN, '1', undefined, 2 ** 53]) {
    expect(codeNow(() => cpu.kmap(bad as number))).toBe('EINVAL')
  }
  const page = cpu.kmap(1)
  const { bytes } = page
  page.kunmap()
  expect([bytes.length, codeNow(() => page.bytes), codeNow(() => page.kunmap())]).toEqual([
    0,
    'EBADF',
    'EINVAL',
  ])
  page[Symbol.dispose]()
  cpu.end()
  expect(codeNow(() => cpu.kmap(1))).toBe('EBADF')
})

zeroCopyTest('pages that are left mapped end with their bracket, and are counted', () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const kunmap = vi.fn()
  using buffer = exported({ kunmap, release })
  const cpu = buffer.beginCpuAccessSync('read')
  const pages = [cpu.kmap(0), cpu.kmap(1), cpu.kmap(1)]
  const views = pages.map(({ bytes }) => bytes)
  pages[0]!.kunmap()
  cpu.end()
  expect(views.map(({ length }) => length)).toEqual([0, 0, 0])
  expect(pages.map((page) => codeNow(() => page.bytes))).toEqual(['EBADF', 'EBADF', 'EBADF'])
  expect(kunmap.mock.calls).toEqual([[0], [1], [1]])
  expect(faults(buffer)).toBe(2)
  expect(String(warned.mock.calls[0]?.[0])).toContain(
    "end() of a 'read' access came with 2 of its kmaps never unmapped",
  )
  warned.mockRestore()
})

test('closing the buffer unmaps the pages and tells its exporter', () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const order: string[] = []
  const buffer = exported({
    kunmap: (page) => void order.push(`kunmap ${page}`),
    endCpuAccess: () => void order.push('end'),
    release: () => void order.push('release'),
  })
  const cpu = buffer.beginCpuAccessSync('read')
  const page = cpu.kmap(2)
  const { bytes } = page
  buffer.close()
  expect(order).toEqual(['kunmap 2', 'end', 'release'])
  expect([bytes.length, codeNow(() => page.bytes), codeNow(() => page.kunmap())]).toEqual([
    0,
    'EBADF',
    'EINVAL',
  ])
  page[Symbol.dispose]()
  warned.mockRestore()
})

test('an exporter that throws has mapped nothing', () => {
  using buffer = exported({
    kmap: () => {
      throw new Error('no page today')
    },
    release,
  })
  using cpu = buffer.beginCpuAccessSync('read')
  expect(() => cpu.kmap(0)).toThrow('no page today')
  cpu.end()
  expect(bufinfo().every(({ bracketFaults }) => bracketFaults.leftMapped === 0)).toBe(true)
})

test('a holder maps pages of its own, and its exporter is not asked; nor has it a vmap where the exporter has none', async () => {
  const kmap = vi.fn()
  await using puppet = ProcessPuppet.start()
  for (const vmap of [vi.fn(), null]) {
    using buffer = exported({ kmap, vmap, release })
    buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(5, 2 * PAGE))
    await puppet.ask('hold', {}, [buffer])
    const { message } = await puppet.ask('mapped', { page: 2 })
    expect(message).toMatchObject({ value: 5, vmap: vmap === null ? 'EINVAL' : 4 * PAGE })
    if (vmap !== null) expect(vmap).not.toHaveBeenCalled()
    await puppet.ask('drop')
  }
  expect(kmap).not.toHaveBeenCalled()
})
