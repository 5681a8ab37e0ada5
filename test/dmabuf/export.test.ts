import { expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { bufinfo, DmaBuf, type ExportInfo } from '../../src/index.ts'
import { READ_ONLY_SEALS, WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { memfd } from '../support/descriptor.ts'
import { codeNow, failure } from '../support/fails.ts'
import { untilCollected } from '../support/until.ts'

useCensus()

function isOpen(fd: number): boolean {
  return typeof addon().linkTarget(fd) === 'string'
}

/** An exporter that counts its releases and notes whether its descriptor was still open then. */
function exporter(fd: number) {
  const releases: boolean[] = []
  const info: ExportInfo = {
    exporterName: 'mine',
    name: 'thing',
    fd,
    byteLength: 4096,
    ops: { release: () => releases.push(isOpen(fd)) },
  }
  return { releases, info }
}

test('an own exporter is asked to release once, after the last holder, with its descriptor still open', () => {
  const { releases, info } = exporter(memfd(4096, WRITABLE_SEALS, 3))
  const buffer = DmaBuf.export(info)
  expect(buffer).toMatchObject({ exporterName: 'mine', name: 'thing', byteLength: 4096, role: 'exporter' })
  expect([buffer.fd, buffer.sharing]).toEqual([info.fd, 'writable'])
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(3)
  const second = wrap(coreOf(buffer))
  buffer.close()
  buffer.close()
  expect(releases).toEqual([])
  second.close()
  expect(releases).toEqual([true])
  expect(isOpen(info.fd)).toBe(false)
})

test('an own exporter is asked to release what the collector took', async () => {
  const { releases, info } = exporter(memfd(4096, WRITABLE_SEALS))
  ;(() => DmaBuf.export(info))()
  await untilCollected(() => releases.length > 0, 'the buffer is released')
  expect([releases, isOpen(info.fd)]).toEqual([[true], false])
})

test('a release that throws is heard, and nothing is left behind', () => {
  const fd = memfd(4096, WRITABLE_SEALS)
  const ops = {
    release: () => {
      throw new RangeError('mine')
    },
  }
  const buffer = DmaBuf.export({ exporterName: 'mine', fd, byteLength: 4096, ops })
  expect(() => buffer.close()).toThrow('mine')
  expect([buffer.closed, isOpen(fd), bufinfo()]).toEqual([true, false, []])
  buffer.close()
})

test('a release may close its buffer again', () => {
  const fd = memfd(4096, WRITABLE_SEALS)
  let releases = 0
  const buffer: DmaBuf = DmaBuf.export({
    exporterName: 'mine',
    fd,
    byteLength: 4096,
    ops: {
      release: () => {
        releases++
        buffer.close()
      },
    },
  })
  buffer.close()
  expect(releases).toBe(1)
})

test('part of sealed memory can be exported', () => {
  const fd = memfd(10_000, READ_ONLY_SEALS, 8)
  using buffer = DmaBuf.export({
    exporterName: 'x',
    fd,
    offset: 9000,
    byteLength: 1000,
    ops: { release: () => {} },
  })
  expect([buffer.offset, buffer.byteLength, buffer.sharing]).toEqual([9000, 1000, 'read-only'])
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[999])).toBe(8)
})

const wrong: Record<string, [Partial<Record<keyof ExportInfo, unknown>> & Record<string, unknown>, string]> =
  {
    'no ops': [{ ops: undefined }, 'EINVAL'],
    'ops without release': [{ ops: {} }, 'EINVAL'],
    'a release that is no function': [{ ops: { release: 1 } }, 'EINVAL'],
    'no name': [{ exporterName: '' }, 'EINVAL'],
    'a name that is none': [{ exporterName: undefined }, 'EINVAL'],
    'a long name': [{ exporterName: 'x'.repeat(16) }, 'EINVAL'],
    'a long buffer name': [{ name: 'x'.repeat(32) }, 'EINVAL'],
    'a misspelled option': [{ ofset: 1 }, 'EINVAL'],
    'no length': [{ byteLength: undefined }, 'EINVAL'],
    'a length of 0': [{ byteLength: 0 }, 'EINVAL'],
    'a length beyond the end': [{ byteLength: 4097 }, 'EINVAL'],
    'an offset beyond the end': [{ offset: 1 }, 'EINVAL'],
  }

test.each(Object.entries(wrong))(
  'an export with %s is refused, and its descriptor closed',
  async (_, [part, code]) => {
    const { releases, info } = exporter(memfd(4096, WRITABLE_SEALS))
    const error = await failure(() => DmaBuf.export({ ...info, ...part } as ExportInfo))
    expect(error.code).toBe(code)
    expect([isOpen(info.fd), releases]).toEqual([false, []])
  },
)

test('an export of memory that may shrink is refused, and its descriptor closed', () => {
  const { info } = exporter(memfd(4096))
  expect(codeNow(() => DmaBuf.export(info))).toBe('EPERM')
  expect(isOpen(info.fd)).toBe(false)
})

test('an export of what is no memory is refused, and its descriptor closed', () => {
  const { info } = exporter(addon().socket())
  expect(codeNow(() => DmaBuf.export(info))).toBe('EINVAL')
  expect(isOpen(info.fd)).toBe(false)
})

test.each([-1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, '3', undefined, null, {}])(
  'the descriptor %s is refused, and nothing closed',
  (fd) => {
    const { info } = exporter(0)
    expect(codeNow(() => DmaBuf.export({ ...info, fd } as ExportInfo))).toBe('EINVAL')
    expect(isOpen(0)).toBe(true)
  },
)

test.each([undefined, null, 5, 'x', [], () => {}])('an export of %s is refused', (info) => {
  expect(codeNow(() => DmaBuf.export(info as never))).toBe('EINVAL')
})
