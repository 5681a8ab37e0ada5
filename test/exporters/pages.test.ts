import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type DmaBuf, memoryBudget, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { failure } from '../support/fails.ts'

const heap = new SystemHeap()
const size = 4 << 20

useCensus()

/** Kibibytes of a buffer's mapping that this process has touched. */
function resident(buffer: DmaBuf): number {
  const smaps = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  const found = smaps.find((text) => text.includes(`memfd:dmabuf:${buffer.name} `))
  return Number(/^Rss:\s+(\d+) kB/m.exec(found ?? '')?.[1])
}

test.each(['writable', 'read-only'] as const)(
  'prefaulted %s memory is resident before its first use',
  async (sharing) => {
    using eager = await heap.allocate(size, { name: `eager ${sharing}`, sharing, prefault: true })
    expect(resident(eager)).toBe(size / 1024)
    using lazy = await heap.allocate(size, { name: `lazy ${sharing}`, sharing })
    using cpu = lazy.beginCpuAccessSync('write')
    cpu.bytes[0] = 1
    // Huge pages may be the system's default, and then one touch brings 2 MiB.
    expect(resident(lazy)).toBeLessThan(size / 1024)
  },
)

test('transparent huge pages are a wish: small ones serve as well', async () => {
  using buffer = await heap.allocate(size, { hugePages: 'transparent', prefault: true })
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(3))
})

function free(kibibytes: number): number {
  const file = `/sys/kernel/mm/hugepages/hugepages-${kibibytes}kB/free_hugepages`
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return 0
  }
}

test.runIf(free(2048) === 0)(
  'reserved huge pages that are not there are an ENOMEM that says what to do',
  async () => {
    const { used } = memoryBudget()
    const error = await failure(() => heap.allocate(1, { hugePages: '2MiB' }))
    expect([error.code, error.errno]).toEqual(['ENOMEM', -12])
    expect(error.hint).toContain('nr_hugepages')
    expect(memoryBudget().used).toBe(used)
  },
)

test.runIf(free(2048) > 1)(
  'reserved huge pages are taken, and looked at in ranges (needs nr_hugepages)',
  async () => {
    using buffer = await heap.allocate((2 << 20) + 1, { hugePages: '2MiB' })
    buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(3))
    using range = buffer.mmap({ offset: 2 << 20 })
    expect(range.bytes).toEqual(Uint8Array.of(3))
  },
)
