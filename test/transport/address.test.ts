import { expect, test } from 'vitest'
import { type Address, parseAddress, shownAddress } from '../../src/transport/address.ts'
import { codeNow } from '../support/fails.ts'

test('a path is given as a string or as an object', () => {
  expect(parseAddress('/run/x')).toEqual({ name: '/run/x', abstract: false })
  expect(parseAddress({ path: '/run/x' })).toEqual({ name: '/run/x', abstract: false })
  expect(shownAddress(parseAddress('/run/x'))).toBe('/run/x')
})

test('an abstract name is given as an object, without its NUL', () => {
  expect(parseAddress({ abstract: 'x' })).toEqual({ name: 'x', abstract: true })
  expect(shownAddress(parseAddress({ abstract: 'x' }))).toBe('the abstract name "x"')
})

test('names of up to 107 bytes of UTF-8 fit into an address', () => {
  expect(parseAddress(`/${'x'.repeat(106)}`).name).toHaveLength(107)
  expect(codeNow(() => parseAddress(`/${'x'.repeat(107)}`))).toBe('EINVAL')
  expect(codeNow(() => parseAddress({ abstract: 'ü'.repeat(54) }))).toBe('EINVAL')
})

test('everything else is refused', () => {
  const wrong: unknown[] = [
    undefined,
    null,
    '',
    7,
    {},
    [],
    { path: '' },
    { abstract: '' },
    { path: '/a', abstract: 'b' },
    { path: 7 },
    { abstract: 'a\0b' },
    'a\0b',
    { path: '/a', mode: 1 },
    () => '/a',
  ]
  for (const address of wrong)
    expect(
      codeNow(() => parseAddress(address as Address)),
      String(address),
    ).toBe('EINVAL')
})
