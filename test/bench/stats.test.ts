import fc from 'fast-check'
import { expect, test } from 'vitest'
import { median, quantile } from '../../bench/lib/stats.ts'

const samples = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), {
  minLength: 1,
  maxLength: 300,
})

test('a quantile is a sample with the right share of the samples at or below it', () => {
  fc.assert(
    fc.property(samples, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
      const found = quantile(values, q)
      expect(values.some((value) => value === found)).toBe(true)
      // `<= found` holds for at least ceil(q n) of them, and `< found` for fewer than that.
      const rank = Math.max(1, Math.ceil(q * values.length))
      expect(values.filter((value) => value <= found).length).toBeGreaterThanOrEqual(rank)
      expect(values.filter((value) => value < found).length).toBeLessThan(rank)
    }),
  )
})

test('neither median nor p99 depends on the order of the samples, and the median is not above the p99', () => {
  fc.assert(
    fc.property(samples, (values) => {
      const sorted = values.toSorted((a, b) => a - b)
      expect(median(values)).toBe(median(sorted))
      expect(quantile(values, 0.99)).toBe(quantile(sorted, 0.99))
      expect(median(values)).toBeLessThanOrEqual(quantile(values, 0.99))
    }),
  )
})

test('of 1 to 100 the median is 50 and the p99 is 99', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i)
  expect(median(values)).toBe(50)
  expect(quantile(values, 0.99)).toBe(99)
})

test('no samples have no quantile', () => {
  expect(() => median([])).toThrow(RangeError)
})
