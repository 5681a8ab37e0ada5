import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, not threads: tests count descriptors and mappings of the whole process, and some crash on purpose.
    pool: 'forks',
    execArgv: ['--expose-gc'],
    // One more than vitest takes on two processors: most tests wait for other processes.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Real processes on a shared machine: one more try tells a bad moment from a fault. It is printed where it was needed.
    retry: process.env['CI'] === undefined ? 0 : 1,
    // A guard against hanging, not a measure of speed: machines under load are slow and still right.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
