import { expect, test } from 'vitest'
import { check } from './checker.ts'
import { protocol } from './protocol.ts'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios.ts'

const all: [name: string, scenario: Scenario][] = Object.entries(scenarios)

test.each(all)('whatever the order of events, nothing goes wrong: %s', (_, scenario) => {
  const { violation, states } = check(protocol(scenario))
  expect(violation?.trace.join('\n'), violation?.kind).toBeUndefined()
  expect(states).toBeGreaterThan(1000)
})
