import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { inChild } from './load.ts'

let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dmabuf-mremap-'))
  const source = fileURLToPath(new URL('mremap.c', import.meta.url))
  const flags = ['-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-O1']
  execFileSync(process.env['CC'] ?? 'cc', [...flags, '-o', join(folder, 'mremap.so'), source])
})

afterAll(() => rmSync(folder, { recursive: true }))

/**
 * Exports four parts of 1 MiB and ends that twice, with the kernel refusing by plan; after the first time the memory is
 * stored into. For each end: the result, whether the memory is exported still, and whether it has its contents.
 */
function ends(plan: string): string[] {
  const { status, out } = inChild(
    `const bytes = 4 << 20
    const block = new Uint8Array(addon.allocatePages(bytes)).fill(1)
    const address = addon.addressOf(block)
    const fd = addon.memfdCreate('test', 0)
    addon.allocate(fd, bytes)
    const vmem = addon.mapVmem(fd, address, bytes, address, bytes, false)
    vmem.share(fd)
    process.env.MREMAP = ${JSON.stringify(plan)}
    for (let value = 1; value <= 2; value++) {
      block.fill(value)
      console.log(vmem.end(bytes), addon.isExported(address, bytes), block.every((byte) => byte === value))
    }
    block.fill(3)`,
    `LD_PRELOAD="$LD_PRELOAD:${join(folder, 'mremap.so')}" exec "$@"`,
  )
  expect(status, out).toBe(0)
  return out.trim().split('\n')
}

test.each(['e', '..e'])(
  'memory that cannot be made private for now (%s) keeps its contents, and can be later',
  (plan) => {
    expect(ends(plan)).toEqual([`-${constants.errno.ENOMEM} 1 true`, '0 0 true'])
  },
)

test.each(['l', '..l'])('a kernel that takes the pages away and then fails (%s) leaves no hole', (plan) => {
  expect(ends(plan)).toEqual(['0 0 true', '0 0 true'])
})
