import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, not threads: tests count descriptors and mappings of the whole process, and some crash on purpose.
    pool: 'forks',
    execArgv: ['--expose-gc'],
    // A guard against hanging, not a measure of speed: machines under load are slow and still right.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
