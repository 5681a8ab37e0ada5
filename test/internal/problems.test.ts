import { expect, test } from 'vitest'
import { problems } from '../../src/internal/problems.ts'
import { sources } from '../support/sources.ts'

test('every problem is raised somewhere', () => {
  const code = sources()
    .filter(({ path }) => !path.startsWith('internal/problems'))
    .map(({ text }) => text)
    .join('\n')
  const unused = Object.keys(problems).filter((name) => !code.includes(`'${name}'`))
  expect(unused).toEqual([])
})

test('every problem says where it comes from and what helps, in sentences', () => {
  for (const [name, { code, text, cause, remedy }] of Object.entries(problems)) {
    expect(code, name).toMatch(/^(E[A-Z]+|errno|ABORT_ERR|ERR_DMABUF_[A-Z_]+)$/)
    // The text follows the code in the message: no capital, no full stop.
    expect(text, name).toMatch(/^[a-z{].*[^.]$/)
    expect(cause, name).toMatch(/^([A-Z]|\w+\(\)).*\.$/)
    expect(remedy, name).toMatch(/^([A-Z]|\w+\(\)).*\.$/)
  }
})
