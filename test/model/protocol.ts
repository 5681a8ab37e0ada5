import type { Model, Outcome, Transition } from './checker.ts'
import { Exporter } from './exporter.ts'
import { Holder } from './holder.ts'
import { DURING_COPY, OLD_STORAGE } from './kinds.ts'
import { Machine } from './machine.ts'
import type { Omission, Scenario } from './scenario.ts'
import { Shared, type StepResult, WAIT } from './shared.ts'

/**
 * How one exporter and the holders of a placed buffer keep its moves and their brackets apart (docs/protocol.md), played in
 * every order: the steps of each party, the moment when each store reaches memory, deaths, time-outs. With an omission, one
 * thing is done otherwise, which must be found.
 *
 * Steps have the names that the protocol gives them, and each touches shared memory at most once. Left out are what one
 * environment does alone (M0, tables, mappings), fences (B5: the bracket just stays open), and what peers that lie could do.
 */
export function protocol(scenario: Scenario, omission?: Omission): Model {
  const machine = new Machine()
  const shared = new Shared(machine, scenario, omission)
  const exporter = new Exporter(shared)
  const holders = scenario.holders.map((_, number) => new Holder(shared, number, exporter))
  const parties = [...holders, exporter]
  exporter.start(holders)
  for (const holder of holders) holder.start()

  const steps = parties.map((party) =>
    event(
      'sure',
      party,
      () => party.at,
      () => party.step(),
    ),
  )
  const stores = parties.map((party) =>
    event('sure', party, 'a store reaches memory', () => {
      if (party.processor.buffered === 0) return WAIT
      party.processor.flush()
    }),
  )
  const reads = holders.flatMap((holder, h) => [
    event('sure', holder, 'reads its connection', () => holder.readConnection()),
    event('sure', exporter, `reads the connection of ${holder.name}`, () => exporter.readConnection(h)),
  ])
  const own = [
    event('sure', exporter, 'begins a bracket of its own', () => exporter.beginOwn()),
    event('sure', exporter, 'ends its own bracket', () => exporter.endOwn()),
  ]
  const killed = machine.registers(['count'])
  const kills = (scenario.mortal ?? []).map((who) => {
    const party = who === 'exporter' ? exporter : holders[who]!
    return event('perhaps', party, 'is killed', () => {
      if (killed.count === (scenario.kills ?? 1)) return WAIT
      killed.count++
      party.die()
    })
  })
  const failures = [
    // Nobody may rely on a time-out, except against a holder that stays inside.
    event(
      () => (exporter.waitsInVain ? 'sure' : 'perhaps'),
      exporter,
      'moveTimeout',
      () => exporter.timeOut(),
    ),
    event('perhaps', exporter, 'the copy fails', () => exporter.copyFails()),
  ]
  return {
    machine,
    transitions: [...steps, ...stores, ...reads, ...own, ...kills, ...failures],
    wrong: () => wrong(exporter, holders),
    atRest: () => parties.every((party) => party.atRest),
    describe: () => parties.map((party) => party.describe()).join('; '),
  }
}

/** Something that one party does, or that befalls it, while it is alive. */
function event(
  outcome: Outcome | (() => Outcome),
  party: Holder | Exporter,
  name: string | (() => string),
  act: () => StepResult,
): Transition {
  return {
    name: () => `${party.name}: ${typeof name === 'string' ? name : name()}`,
    run: () => {
      const likely = typeof outcome === 'string' ? outcome : outcome()
      return party.alive && act() !== WAIT ? likely : 'not now'
    },
  }
}

/** What holds in every state; the parties themselves find the other kinds in what they do. */
function wrong(exporter: Exporter, holders: readonly Holder[]): string | undefined {
  if (exporter.open && exporter.copies) return DURING_COPY
  for (const holder of holders) {
    if (!holder.inside || holder.excused) continue
    if (exporter.copies) return DURING_COPY
    if (holder.storage !== exporter.storage) return OLD_STORAGE
  }
  return undefined
}
