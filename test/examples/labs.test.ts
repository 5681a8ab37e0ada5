import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url).pathname
const run = promisify(execFile)
const labs = readdirSync(`${root}examples/labs`).filter((name) => name.endsWith('.ts'))

test.each(labs)(
  '%s fails and is mended as it says',
  async (lab) => {
    const file = `examples/labs/${lab}`
    const text = readFileSync(root + file, 'utf8')
    const { stdout, stderr } = await run(process.execPath, ['--import', 'tsx', file], {
      cwd: root,
      timeout: 50_000,
    })
    // What it shows is what the library warns of, too.
    if (lab === 'unbalanced-start.ts') expect(stderr).toContain('a CPU access that was never ended')
    else expect(stderr).toBe('')
    const promised = text.split('// prints:\n')[1] ?? ''
    expect(stdout).toBe(promised.replaceAll(/^\/\/ ?/gm, ''))
    expect(stdout).toMatch(/^failing:/m)
    expect(stdout).toMatch(/^mended:/m)
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(40)
  },
  60_000,
)

test('the guide to CPU access names every lab', () => {
  const guide = readFileSync(`${root}docs/coherency.md`, 'utf8')
  expect(labs.filter((lab) => !guide.includes(`\`${lab}\``))).toEqual([])
})
