import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HandleTable } from '../../src/drm/handle-table.ts'

test('handles begin at 1, and the lowest free one is given out next', () => {
  const table = new HandleTable<string>()
  expect(['a', 'b', 'c', 'd'].map((object) => table.add(object))).toEqual([1, 2, 3, 4])
  expect([table.remove(3), table.remove(1)]).toEqual(['c', 'a'])
  expect([table.add('e'), table.add('f'), table.add('g')]).toEqual([1, 3, 5])
  expect(table.size).toBe(5)
})

test('what is no handle stands for nothing', () => {
  const table = new HandleTable<string>()
  table.add('a')
  for (const handle of [0, -1, 2, 1.5, 2 ** 32 - 1]) {
    expect([table.get(handle), table.remove(handle)]).toEqual([undefined, undefined])
  }
  expect(table.size).toBe(1)
})

test('it behaves as a map that looks for the lowest free number', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('add' as const) }),
    fc.record({ do: fc.constant('remove' as const), handle: fc.integer({ min: 0, max: 12 }) }),
    fc.record({ do: fc.constant('clear' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const table = new HandleTable<number>()
      const model = new Map<number, number>()
      for (const [object, doing] of steps.entries()) {
        if (doing.do === 'add') {
          let lowest = 1
          while (model.has(lowest)) lowest++
          expect(table.add(object)).toBe(lowest)
          model.set(lowest, object)
        } else if (doing.do === 'remove') {
          expect(table.remove(doing.handle)).toBe(model.get(doing.handle))
          model.delete(doing.handle)
        } else {
          expect(table.clear().sort()).toEqual([...model.values()].sort())
          model.clear()
        }
        expect(table.size).toBe(model.size)
        for (let handle = 0; handle <= 13; handle++) expect(table.get(handle)).toBe(model.get(handle))
      }
    }),
  )
})
