import { execFileSync } from 'node:child_process'
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
