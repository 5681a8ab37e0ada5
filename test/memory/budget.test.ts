import { existsSync, readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { afterEach, expect, test } from 'vitest'
import { memoryBudget, SystemHeap, setMemoryBudget } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow, codeOf, failure } from '../support/fails.ts'

const heap = new SystemHeap()
const initial = memoryBudget().budget

useCensus()
afterEach(() => setMemoryBudget(initial))

test('the default is three quarters of the memory of the machine or of the container', () => {
  const files = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'].filter(
    existsSync,
  )
  const limits = files.map((file) => Number(readFileSync(file, 'utf8'))).filter((limit) => limit > 0)
  expect(initial).toBe(Math.floor(Math.min(totalmem(), ...limits) * 0.75))
})

test('whole pages are charged, and given back by close', async () => {
  const { used } = memoryBudget()
  using one = await heap.allocate(1)
  using two = await heap.allocate(4097)
  expect(memoryBudget().used).toBe(used + 3 * 4096)
  one.close()
  one.close()
  expect(memoryBudget().used).toBe(used + 2 * 4096)
  two.close()
  expect(memoryBudget().used).toBe(used)
})

test('the last byte of the budget can be had, and not one more', async () => {
  setMemoryBudget(memoryBudget().used + 8192)
  using buffer = await heap.allocate(8192)
  const error = await failure(() => heap.allocate(1))
  expect([error.code, error.errno]).toEqual(['EDQUOT', -122])
  expect(error.message).toContain('8192 bytes are in use')
  expect(error.hint).toContain('setMemoryBudget')
  buffer.close()
  using next = await heap.allocate(5000)
  expect(next.byteLength).toBe(5000)
})

test('a budget below what is in use refuses everything and frees nothing', async () => {
  using buffer = await heap.allocate(4096)
  setMemoryBudget(0)
  expect(await codeOf(() => heap.allocate(1))).toBe('EDQUOT')
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(0)
})

test('an allocation that fails at any step gives its charge back', async () => {
  const { used } = memoryBudget()
  expect(await codeOf(() => heap.allocate(1, { hugePages: '1GiB' }))).toMatch(/^(ENOMEM|ENODEV|EINVAL)$/)
  setMemoryBudget(used + 5 * 4096)
  expect(await codeOf(() => heap.pool({ byteLength: 4096, buffers: 6 }))).toBe('EDQUOT')
  expect(memoryBudget().used).toBe(used)
  const pool = await heap.pool({ byteLength: 4096, buffers: 5 })
  expect(memoryBudget().used).toBe(used + 5 * 4096)
  await pool.close()
  expect(memoryBudget().used).toBe(used)
})

test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1', 1n, null, undefined, {}])(
  'a budget of %s is refused',
  (bytes) => {
    expect(codeNow(() => setMemoryBudget(bytes as number))).toBe('EINVAL')
    expect(memoryBudget().budget).toBe(initial)
  },
)
