import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorsDocument } from '../../scripts/errors-document.ts'
import { problem } from '../../src/internal/errors.ts'
import { problems } from '../../src/internal/problems.ts'

const root = new URL('../../', import.meta.url).pathname

test('docs/errors.md says what the table says (npm run docs:errors)', () => {
  expect(readFileSync(join(root, 'docs/errors.md'), 'utf8')).toBe(errorsDocument())
})

test('every problem of the table is raised somewhere', () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  const sources = files.filter((file) => file.endsWith('.ts') && !/problems[^/]*\.ts$/.test(file))
  const code = sources.map((file) => readFileSync(join(root, 'src', file), 'utf8')).join('\n')
  const raised = (name: string) => new RegExp(`problem\\([^)]*'${name}'`).test(code)
  expect(Object.keys(problems).filter((name) => !raised(name))).toEqual([])
})

test('a buffer without a name has one in messages', () => {
  expect(problem('closedBuffer', { name: '' }).message).toBe('EBADF: buffer (unnamed) is closed')
})
