import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

// Needs a kernel with dma-buf heaps, which most machines and containers have not: run it where /dev/dma_heap is.
test.runIf(existsSync('/dev/dma_heap/system'))('a real dma-buf is mapped, bracketed and passed on', () => {
  const command = [process.execPath, '--import', 'tsx', here('uses-dma-buf.ts')]
  const output = execFileSync('python3', [here('heap-dma-buf.py'), '65536', ...command], { encoding: 'utf8' })
  expect(output).toContain('a real dma-buf works')
})

// The kernel's own fences come from vgem, which is there for tests: modprobe vgem.
const fences = ['/dev/dma_heap/system', '/dev/udmabuf', '/sys/module/vgem'].every((path) => existsSync(path))
test.runIf(fences)(
  'what is said of fences holds for those of the kernel',
  () => {
    const command = [process.execPath, '--import', 'tsx', here('fences.ts')]
    const { stdout, status } = spawnSync('python3', [here('fence-device.py'), ...command], {
      encoding: 'utf8',
    })
    expect(stdout.split('\n').filter((line) => !line.startsWith('ok '))).toEqual([''])
    expect(status).toBe(0)
  },
  280_000,
)
