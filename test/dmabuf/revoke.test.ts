import { expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { bufinfo, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, codeOf } from '../support/fails.ts'

const heap = new SystemHeap()

useCensus()

test.each(['writable', 'read-only'] as const)(
  'a revoked %s buffer shows nothing and begins nothing',
  async (sharing) => {
    using buffer = await heap.allocate(4096, { sharing })
    using second = wrap(coreOf(buffer))
    const used = buffer.beginCpuAccessSync('write')
    const unused = buffer.beginCpuAccessSync('read')
    const bytes = used.bytes
    using range = second.mmap()
    const ranged = range.bytes
    buffer.revoke()
    expect([bytes.length, ranged.length, range.closed]).toEqual([0, 0, true])
    expect([buffer.revoked, second.revoked, buffer.closed]).toEqual([true, true, false])
    expect(bufinfo()[0]?.revoked).toBe(true)
    const refused = [
      () => buffer.beginCpuAccessSync('read'),
      () => second.beginCpuAccess('write'),
      () => buffer.withCpuAccess('read', () => {}),
      () => buffer.mmap(),
      () => used.bytes,
      () => unused.bytes,
      () => unused.copy(),
      () => unused.text(),
    ]
    for (const use of refused) expect(await codeOf(use)).toBe('ENODEV')
    expect(codeNow(() => range.bytes)).toBe('EBADF')
    expect(bufinfo()[0]).toMatchObject({ openBrackets: 2, openWriteBrackets: 1 })
    used.end()
    unused.end()
    expect(bufinfo()[0]).toMatchObject({ openBrackets: 0, openWriteBrackets: 0 })
    buffer.revoke()
  },
)
