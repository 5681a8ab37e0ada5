import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytes, figure, table } from '../../bench/lib/table.ts'

test('the first column is flush left and the others flush right, under their titles', () => {
  expect(
    table(
      ['', 'trip us', 'f/s'],
      [
        ['ours', '5.10', '12 300'],
        ['child-ipc', '33 800', '-'],
      ],
    ),
  ).toBe(
    [
      '           trip us     f/s',
      '---------  -------  ------',
      'ours          5.10  12 300',
      'child-ipc   33 800       -',
    ].join('\n'),
  )
})

test('a row of one cell is a heading', () => {
  expect(table(['', 'a'], [['64 B'], ['x', '1']]).split('\n')).toEqual([
    '      a',
    '----  -',
    '64 B',
    'x     1',
  ])
})

test.each([
  [0, '0'],
  [0.001234, '0.00123'],
  [4.5678, '4.57'],
  [56.78, '56.8'],
  [789.4, '789'],
  [999.6, '1 000'],
  [12_345, '12 300'],
  [1_234_567, '1 230 000'],
  [Number.POSITIVE_INFINITY, '-'],
  [undefined, '-'],
])('the figure of %s is %s', (value, text) => {
  expect(figure(value)).toBe(text)
})

test('a figure is within half a percent of its number', () => {
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 1e9, noNaN: true }), (value) => {
      const back = Number(figure(value).replaceAll(' ', ''))
      expect(Math.abs(back - value) / value).toBeLessThanOrEqual(0.005 + 1e-9)
    }),
  )
})

test.each([
  [64, '64 B'],
  [4096, '4 KiB'],
  [1536, '1.5 KiB'],
  [8 << 20, '8 MiB'],
  [3840 * 2160 * 4, '31.6 MiB'],
])('%i bytes are %s', (size, text) => {
  expect(bytes(size)).toBe(text)
})
