import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import {
  type BufferPool,
  bufinfo,
  type CpuAccess,
  DmaBuf,
  DmaBufError,
  recordStacks,
  SystemHeap,
  setMemoryBudget,
} from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow } from '../support/fails.ts'

const heap = new SystemHeap()

useCensus()
beforeAll(() => {
  heap.allocateSync(1).close()
})

/** Values of every kind, those that nearly fit included. */
const junk = fc.oneof(
  fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true, withSparseArray: true }),
  fc.constantFrom<unknown>(
    -1,
    0.5,
    Number.NaN,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    -(2 ** 31),
    '',
    'read\0',
    () => {},
    Symbol('x'),
  ),
  fc.constantFrom<unknown>(
    { ofset: 1 },
    { offset: -1 },
    { length: 2 ** 53 },
    { offset: 1, length: 4096 },
    { strict: 'x' },
  ),
  fc.constantFrom<unknown>(
    { trust: 'no' },
    { access: 'write' },
    { signal: {} },
    { into: [] },
    { byteLength: 0 },
  ),
)

type Junk = [unknown, unknown, unknown]
type Call = (things: Things, junk: Junk) => unknown

interface Things {
  readonly buffer: DmaBuf
  readonly cpu: CpuAccess
  readonly pool: BufferPool
}

/** Where a value of junk stands for each parameter in turn; `as never` is how JavaScript would call it. */
const calls: Record<string, Call> = {
  'allocate(x)': (_, [x]) => heap.allocate(tooLarge(x) as never),
  'allocate(1, x)': (_, [x]) => heap.allocate(1, x as never),
  'allocateSync(x, y)': (_, [x, y]) => heap.allocateSync(tooLarge(x) as never, y as never),
  'pool(x)': (_, [x]) => heap.pool(x as never),
  'pool({ byteLength, buffers })': (_, [x, y]) =>
    heap.pool({ byteLength: tooLarge(x), buffers: tooLarge(y) } as never),
  'acquire(x)': ({ pool }, [x]) => pool.acquire(x as never),
  'pool.release(x)': ({ pool }, [x]) => pool.release(x as never),
  'beginCpuAccess(x, y)': ({ buffer }, [x, y]) => buffer.beginCpuAccess(x as never, y as never),
  'beginCpuAccess(read, x)': ({ buffer }, [x]) => buffer.beginCpuAccess('read', x as never),
  'beginCpuAccessSync(x, y)': ({ buffer }, [x, y]) => buffer.beginCpuAccessSync(x as never, y as never),
  'beginCpuAccessSync(write, x)': ({ buffer }, [x]) => buffer.beginCpuAccessSync('write', x as never),
  'beginCpuAccessSync(range)': ({ buffer }, [offset, length, strict]) =>
    buffer.beginCpuAccessSync('write', { offset, length, strict } as never),
  'withCpuAccess(x, y)': ({ buffer }, [x, y]) => buffer.withCpuAccess(x as never, y as never),
  'withCpuAccess(read, f, x)': ({ buffer }, [x]) => buffer.withCpuAccess('read', () => {}, x as never),
  'withCpuAccessSync(x, y)': ({ buffer }, [x, y]) => buffer.withCpuAccessSync(x as never, y as never),
  'kmap(x)': ({ cpu }, [x]) => cpu.kmap(x as never),
  'mmap(x)': ({ buffer }, [x]) => buffer.mmap(x as never),
  'mmap(range)': ({ buffer }, [offset, length]) => buffer.mmap({ offset, length } as never),
  'same(x)': ({ buffer }, [x]) => buffer.same(x as never),
  'copy(x)': ({ cpu }, [x]) => cpu.copy(x as never),
  'copy({ into })': ({ cpu }, [into, offset, length]) => cpu.copy({ into, offset, length } as never),
  'copy({ verified })': ({ cpu }, [verified]) => cpu.copy({ verified } as never),
  'text(x)': ({ cpu }, [x]) => cpu.text(x as never),
  'text(utf8, x)': ({ cpu }, [x]) => cpu.text('utf8', x as never),
  'fromFd(x)': (_, [x]) => DmaBuf.fromFd(x as never),
  'fromFd(fd, x)': ({ buffer }, [x]) => DmaBuf.fromFd(buffer.fd, x as never),
  'fromFd(fd, range)': ({ buffer }, [offset, byteLength, name]) =>
    DmaBuf.fromFd(buffer.fd, { offset, byteLength, name } as never),
  'setMemoryBudget(x)': (_, [x]) => setMemoryBudget(typeof x === 'number' ? -1 : (x as never)),
  'recordStacks(x)': (_, [x]) => recordStacks(x as never),
  'new DmaBuf(x, y)': (_, [x, y]) => Reflect.construct(DmaBuf, [x, y]),
}

/** Descriptors that exist belong to the test runner, and sizes that fit take time: neither is junk. */
function tooLarge(x: unknown): unknown {
  return typeof x === 'number' && x > 0 ? -x : x
}

const codes = new Set(['EINVAL', 'EBADF', 'EACCES', 'EDQUOT', 'EPERM', 'EAGAIN', 'EFBIG'])

/** Gives back what a call has made because the junk was right by chance. */
async function undo(result: unknown): Promise<void> {
  if (typeof result !== 'object' || result === null) return
  if (Symbol.asyncDispose in result) await (result as AsyncDisposable)[Symbol.asyncDispose]()
  else if (Symbol.dispose in result) (result as Disposable)[Symbol.dispose]()
}

test.each(Object.entries(calls))('%s answers junk with a DmaBufError or does its work', async (_, call) => {
  using buffer = await heap.allocate(4096)
  await using pool = await heap.pool({ byteLength: 1, buffers: 1 })
  await fc.assert(
    fc.asyncProperty(fc.tuple(junk, junk, junk), async (values) => {
      using cpu = buffer.beginCpuAccessSync('read')
      try {
        await undo(await call({ buffer, cpu, pool }, values))
      } catch (error) {
        if (!(error instanceof DmaBufError)) throw error
        expect(codes).toContain(error.code)
      }
    }),
    { numRuns: 150 },
  )
  recordStacks(false)
  const info = bufinfo().find(({ fd }) => fd === buffer.fd)
  expect([info?.openBrackets, info?.wrappers]).toEqual([0, 1])
})

test('a misspelled option is refused by every function that has options', async () => {
  using buffer = await heap.allocate(4096)
  await using pool = await heap.pool({ byteLength: 1, buffers: 1 })
  using cpu = buffer.beginCpuAccessSync('read')
  const bad = { lenght: 1 } as never
  const refused = [
    () => heap.allocateSync(1, bad),
    () => buffer.beginCpuAccessSync('read', bad),
    () => buffer.withCpuAccessSync('read', () => {}, bad),
    () => buffer.mmap(bad),
    () => cpu.copy(bad),
    () => cpu.text('utf8', bad),
    () => DmaBuf.fromFd(buffer.fd, bad),
  ]
  for (const call of refused) expect(() => call()).toThrow('has no option "lenght"; it knows')
  const rejected = [
    () => heap.allocate(1, bad),
    () => heap.pool(bad),
    () => pool.acquire(bad),
    () => buffer.beginCpuAccess('read', bad),
    () => buffer.withCpuAccess('read', () => {}, bad),
  ]
  for (const call of rejected) await expect(call()).rejects.toThrow('has no option "lenght"; it knows')
})

test('a range of no bytes can be bracketed and copied, not mapped', async () => {
  using buffer = await heap.allocate(4096)
  using cpu = buffer.beginCpuAccessSync('read', { offset: 4096 })
  expect([cpu.length, cpu.bytes.length, cpu.copy().bytes.length, cpu.text()]).toEqual([0, 0, 0, ''])
  expect(() => buffer.mmap({ length: 0 })).toThrow('expected an integer')
  expect(codeNow(() => buffer.mmap({ offset: 4096 }))).toBe('EINVAL')
})

test('the signal of an access is checked also where nothing waits', async () => {
  using buffer = await heap.allocate(4096)
  expect(codeNow(() => buffer.beginCpuAccessSync('read', { signal: 5 as never }))).toBe('EINVAL')
})

test('stacks are recorded or not, and nothing between', () => {
  for (const on of ['yes', 1, null, undefined])
    expect(codeNow(() => recordStacks(on as never))).toBe('EINVAL')
})

test('text is never asked to decode memory that the caller names', async () => {
  using buffer = await heap.allocate(4096)
  using cpu = buffer.beginCpuAccessSync('read')
  expect(codeNow(() => cpu.text('utf8', { into: cpu.bytes } as never))).toBe('EINVAL')
})
