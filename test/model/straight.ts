import type { Model, Transition } from './checker.ts'
import { type Machine, Processor } from './machine.ts'

/** One thing that a straight program does; false when it must wait. */
export type Act = (cpu: Processor) => unknown

/** Some programs without branches on one machine, each on its own processor: all orders of their steps. */
export function straight(
  machine: Machine,
  programs: Readonly<Record<string, readonly Act[]>>,
  wrong: () => string | undefined = () => undefined,
): Model {
  const running = Object.entries(programs).map(([name, acts]) => ({
    name,
    acts,
    cpu: new Processor(machine),
    done: machine.registers(['acts']),
  }))
  const steps = running.map(
    ({ name, acts, cpu, done }): Transition => ({
      name: () => `${name} ${done.acts + 1}`,
      run: () => {
        const act = acts[done.acts]
        if (act === undefined || act(cpu) === false) return 'not now'
        done.acts++
        return 'sure'
      },
    }),
  )
  const stores = running.map(
    ({ name, cpu }): Transition => ({
      name: () => `a store of ${name} reaches memory`,
      run: () => {
        if (cpu.buffered === 0) return 'not now'
        cpu.flush()
        return 'sure'
      },
    }),
  )
  return {
    machine,
    transitions: [...steps, ...stores],
    wrong,
    atRest: () => running.every(({ acts, done }) => done.acts === acts.length),
    describe: () => running.map(({ name, done }) => `${name} has done ${done.acts}`).join('; '),
  }
}
