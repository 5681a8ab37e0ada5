import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DmaBufError } from '../../src/index.ts'
import {
  abortSignal,
  boolean,
  bytes,
  callable,
  integer,
  oneOf,
  options,
  range,
  shown,
  text,
} from '../../src/internal/validate.ts'
import { codeNow } from '../support/fails.ts'

const hostile: unknown[] = [
  Symbol('s'),
  10n,
  Number.NaN,
  () => {},
  Object.create(null),
  new Proxy({}, {}),
  { constructor: { name: { toString: () => expect.unreachable() } } },
  {
    get constructor(): never {
      throw new Error('no')
    },
  },
  Object.assign(() => {}, { toString: null }),
  Object.defineProperty(() => {}, 'name', { value: Symbol('name') }),
  Object.defineProperty(() => {}, 'name', { value: Object.create(null) }),
]

function revoked(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

/** Passes what the check lets through; anything but a DmaBufError fails. */
function refusedOrSame(check: (value: unknown) => unknown, value: unknown): void {
  try {
    expect(check(value)).toBe(value)
  } catch (error) {
    if (!(error instanceof DmaBufError)) throw error
    expect(error.code).toBe('EINVAL')
  }
}

const checks: ((value: unknown) => unknown)[] = [
  (value) => integer('it', value, 0),
  (value) => integer('it', value, -5, 5),
  (value) => boolean('it', value),
  (value) => oneOf('it', value, ['a', 'b']),
  (value) => callable('it', value as () => void),
  (value) => text('it', value, 8),
  (value) => abortSignal('it', value),
  (value) => bytes('it', value),
]

test('a check passes a value unchanged or refuses it with EINVAL, whatever the value', () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true }), (value) => {
      for (const check of checks) refusedOrSame(check, value)
    }),
  )
})

test('values that resist being shown are refused all the same', () => {
  for (const value of hostile) for (const check of checks) refusedOrSame(check, value)
  for (const value of [...hostile, revoked({}), revoked([]), revoked(() => {})]) {
    expect(typeof shown(value)).toBe('string')
  }
})

test('a value is shown as a person would write it, short', () => {
  expect([shown('a'), shown(1n), shown([1, 2]), shown(new Map()), shown(null), shown(undefined)]).toEqual([
    '"a"',
    '1n',
    'an array of 2',
    'an object (Map)',
    'null',
    'undefined',
  ])
  expect(shown('x'.repeat(1000)).length).toBeLessThan(70)
})

test('integers have both ends of their range and nothing beyond', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), fc.double(), (a, b, value) => {
      const [least, most] = a < b ? [a, b] : [b, a]
      expect(integer('it', least, least, most)).toBe(least)
      expect(integer('it', most, least, most)).toBe(most)
      expect(codeNow(() => integer('it', least - 1, least, most))).toBe('EINVAL')
      expect(codeNow(() => integer('it', most + 1, least, most))).toBe('EINVAL')
      refusedOrSame((given) => integer('it', given, least, most), value)
    }),
  )
})

test('text is measured in bytes of UTF-8 and has no NUL', () => {
  expect(text('it', 'ééé', 6)).toBe('ééé')
  expect(codeNow(() => text('it', 'ééé', 5))).toBe('EINVAL')
  expect(codeNow(() => text('it', 'a\0', 5))).toBe('EINVAL')
})

test('a range that passes lies inside the size, and one that lies inside passes', () => {
  const number = fc.oneof(fc.maxSafeInteger(), fc.nat(100), fc.double(), fc.constant(undefined))
  fc.assert(
    fc.property(fc.nat(100), number, number, (size, offset, length) => {
      const start = offset ?? 0
      const inside = Number.isInteger(start) && start >= 0 && start <= size
      const fits = length === undefined || (Number.isInteger(length) && length >= 0 && start + length <= size)
      if (inside && fits) {
        expect(range('it', size, offset, length)).toEqual({ offset: start, length: length ?? size - start })
      } else expect(codeNow(() => range('it', size, offset, length))).toBe('EINVAL')
    }),
  )
})

test('a misspelled option is an error that names those there are', () => {
  expect(options('f', undefined, [])).toEqual({})
  expect(options('f', { a: 1 }, ['a'])).toEqual({ a: 1 })
  expect(() => options<{ a?: number }>('f', { b: 1 } as object, ['a'])).toThrow(
    'f has no option "b"; it knows a',
  )
  for (const value of [null, 1, 'x', [], () => {}]) {
    expect(codeNow(() => options('f', value as object, []))).toBe('EINVAL')
  }
})
