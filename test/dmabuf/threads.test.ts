import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const program = fileURLToPath(new URL('../children/closes-under-threads.ts', import.meta.url))

test.each(['plain', 'guarded'])(
  'closing a %s buffer under threads that read and write it harms nobody',
  async (how) => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--no-warnings', program, how],
      { env: { ...process.env, NODE_ENV: 'production' } },
    )
    expect(stdout).toBe('20\n')
  },
  120_000,
)
