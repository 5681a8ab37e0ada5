import { expect, test } from 'vitest'
import { CIRCLE, check, HANG } from './checker.ts'
import { Machine, Queue } from './machine.ts'
import { type Act, straight } from './straight.ts'

/** Dekker's pattern: each raises its flag and enters if the other's is down. */
function dekker(fenced: boolean) {
  const machine = new Machine()
  const x = machine.allocate(1)
  const y = machine.allocate(1)
  const inside = machine.registers(['x', 'y'])
  const enter = (mine: number, theirs: number, name: 'x' | 'y'): Act[] => [
    (cpu) => (fenced ? cpu.storeFenced(mine, 1) : cpu.store(mine, 1)),
    (cpu) => {
      if (cpu.load(theirs) === 0) inside[name] = 1
    },
  ]
  return straight(machine, { X: enter(x, y, 'x'), Y: enter(y, x, 'y') }, () =>
    inside.x + inside.y === 2 ? 'both are inside' : undefined,
  )
}

test('stores that wait in their buffers let both in, and the shortest way there is shown', () => {
  const { violation } = check(dekker(false))
  expect(violation?.kind).toBe('both are inside')
  expect(violation?.trace).toEqual(['X 1', 'X 2', 'Y 1', 'Y 2', 'X has done 2; Y has done 2'])
})

test('with fences never more than one is inside, whatever the order', () => {
  expect(check(dekker(true)).violation).toBeUndefined()
})

test('stores of one processor reach memory in their order, and are seen by itself at once', () => {
  const machine = new Machine()
  const data = machine.allocate(1)
  const ready = machine.allocate(1)
  const seen = machine.registers(['ready'])
  const model = straight(machine, {
    writer: [
      (cpu) => cpu.store(data, 7),
      (cpu) => {
        if (cpu.load(data) !== 7) machine.fail('a processor does not see its own store')
      },
      (cpu) => cpu.store(ready, 1),
    ],
    reader: [
      (cpu) => {
        seen.ready = cpu.load(ready)
      },
      (cpu) => {
        if (seen.ready === 1 && cpu.load(data) !== 7) machine.fail('stores came out of order')
      },
    ],
  })
  expect(check(model).violation).toBeUndefined()
})

test('a message comes after all that its sender had stored', () => {
  const machine = new Machine()
  const data = machine.allocate(1)
  const queue = new Queue(machine, 2)
  const model = straight(machine, {
    sender: [(cpu) => cpu.store(data, 7), (cpu) => queue.send(cpu, 1)],
    receiver: [
      () => queue.receive() === 1,
      (cpu) => {
        if (cpu.load(data) !== 7) machine.fail('the message overtook the store')
      },
    ],
  })
  expect(check(model).violation).toBeUndefined()
})

test('messages arrive in their order, and none is received twice', () => {
  const machine = new Machine()
  const queue = new Queue(machine, 3)
  const expectNext = (message: number): Act => {
    return () => {
      if (queue.length === 0) return false
      if (queue.receive() !== message) machine.fail('out of order')
    }
  }
  const model = straight(machine, {
    sender: [1, 2, 3].map((message) => (cpu) => queue.send(cpu, message)),
    receiver: [...[1, 2, 3].map(expectNext), () => queue.length === 0],
  })
  expect(check(model).violation).toBeUndefined()
})

test('who waits for what nobody sends hangs, even if a time-out could end it', () => {
  const machine = new Machine()
  const queue = new Queue(machine, 1)
  const model = straight(machine, { receiver: [() => queue.receive() !== 0] })
  const timeOut = {
    name: () => 'time-out',
    run: () => {
      if (queue.length > 0) return 'not now' as const
      queue.close()
      return 'perhaps' as const
    },
  }
  expect(check({ ...model, transitions: [...model.transitions, timeOut] }).violation?.kind).toBe(HANG)
})

test('who begins again and again runs in a circle', () => {
  const machine = new Machine()
  const state = machine.registers(['phase'])
  const turn = {
    name: () => `phase ${state.phase}`,
    run: () => {
      state.phase = state.phase === 2 ? 1 : state.phase + 1
      return 'sure' as const
    },
  }
  const model = {
    machine,
    transitions: [turn],
    wrong: () => undefined,
    atRest: () => false,
    describe: () => '',
  }
  expect(check(model).violation?.kind).toBe(CIRCLE)
})

test('a model that is larger than expected is an error, not an endless run', () => {
  expect(() => check(dekker(true), 5)).toThrow('more than 5 states')
})
