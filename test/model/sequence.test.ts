import { expect, test } from 'vitest'
import { check } from './checker.ts'
import { Machine } from './machine.ts'
import { type Act, straight } from './straight.ts'

/**
 * A writer whose two write brackets overlap, and a reader who copies two words and takes the copy for verified when the
 * writer's sequence word was even and unchanged around it. Between brackets the two words are equal.
 */
function sequence(turns: 'with the first and the last bracket' | 'with every bracket') {
  const machine = new Machine()
  const word = machine.allocate(1)
  const data = [machine.allocate(1), machine.allocate(1)] as const
  const open = machine.registers(['brackets'])
  const copy = machine.registers(['before', 'first', 'second'])
  const always = turns === 'with every bracket'

  const begin: Act = (cpu) => {
    if (open.brackets++ === 0 || always) cpu.add(word, 1)
  }
  const end: Act = (cpu) => {
    if (--open.brackets === 0 || always) cpu.add(word, 1)
  }
  return straight(machine, {
    writer: [begin, begin, (cpu) => cpu.store(data[0], 1), end, (cpu) => cpu.store(data[1], 1), end],
    reader: [
      (cpu) => {
        copy.before = cpu.load(word)
      },
      (cpu) => {
        copy.first = cpu.load(data[0])
      },
      (cpu) => {
        copy.second = cpu.load(data[1])
      },
      (cpu) => {
        const verified = copy.before % 2 === 0 && cpu.load(word) === copy.before
        if (verified && copy.first !== copy.second) machine.fail('a torn copy is taken for verified')
      },
    ],
  })
}

test('a sequence word that turns with the first and the last write bracket verifies no torn copy', () => {
  expect(check(sequence('with the first and the last bracket')).violation).toBeUndefined()
})

test('a sequence word that turned with every write bracket would be even between two of them', () => {
  expect(check(sequence('with every bracket')).violation?.kind).toBe('a torn copy is taken for verified')
})
