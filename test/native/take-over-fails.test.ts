import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MapKind } from '../../src/native/addon.ts'
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
 * For each plan a line for each of two attempts to take over memory of twos, by a mapping of ones of which the first byte was
 * changed to 9: the result, three of its bytes, whether it is faulted, how many mappings of the two files there are.
 */
function attempts(kind: MapKind, plans: readonly string[]): string[] {
  const { status, out } = inChild(
    `const file = (v) => {
      const fd = addon.memfdCreate('taken', 0); addon.allocate(fd, 8192)
      const m = addon.map(fd, 0, 8192, 0); new Uint8Array(m.view()).fill(v); m.close()
      return fd
    }
    const maps = () => require('fs').readFileSync('/proc/self/maps', 'latin1').split('memfd:taken').length - 1
    for (const plan of ${JSON.stringify(plans)}) {
      const [a, b] = [file(1), file(2)]
      const mapping = addon.map(a, 0, 8192, ${kind}), prepared = addon.map(b, 0, 8192, ${kind})
      const bytes = new Uint8Array(mapping.view())
      if (${kind} !== ${MapKind.sharedReadOnly}) bytes[0] = 9
      process.env.MREMAP = plan
      for (let i = 0; i < 2; i++) {
        const result = mapping.takeOver(prepared)
        console.log(plan, result, bytes[0], bytes[1], bytes[8191], mapping.faulted, maps())
      }
      mapping.close()
    }`,
    `LD_PRELOAD="$LD_PRELOAD:${join(folder, 'mremap.so')}" exec "$@"`,
  )
  expect(status, out).toBe(0)
  return out.trim().split('\n')
}

const mostMappings = Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1'))
const failed = -constants.errno.ENOMEM
const done = '0 2 2 2 false 1'

for (const [name, kind] of Object.entries(MapKind)) {
  const first = kind === MapKind.sharedReadOnly ? 1 : 9
  const before = `${failed} ${first} 1 1 false 2`
  const asBefore = (plans: readonly string[]) =>
    plans.flatMap((plan) => [`${plan} ${before}`, `${plan} ${done}`])

  test(`a ${name} mapping is as before when the kernel refuses at any step, and the next attempt succeeds`, () => {
    // The calls: a spare mapping of the old pages, the move, the move back.
    const plans = ['e', 'l', '.e', '.l', '.e.', '.l.']
    // Private pages cannot be had twice: without the move back they show the file.
    if (kind !== MapKind.private) plans.push('.ee')
    expect(attempts(kind, plans)).toEqual(asBefore(plans))
  })

  test.runIf(mostMappings < 500_000)(
    `a ${name} mapping is as before when the process has as many mappings as it may`,
    () => {
      const plans = ['f', '.f', '.f.']
      expect(attempts(kind, plans)).toEqual(asBefore(plans))
    },
  )

  test(`a ${name} mapping that cannot be put back shows zeros and says so, until it takes memory over`, () => {
    expect(attempts(kind, ['.ll'])).toEqual([`.ll ${failed} 0 0 0 true 1`, `.ll ${done}`])
  })
}
