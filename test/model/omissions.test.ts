import { expect, test } from 'vitest'
import { check, HANG } from './checker.ts'
import { DEPRIVED, DURING_COPY, LOST_STORE, OLD_STORAGE, REUSED_NUMBER, SILENT_EVICTION } from './kinds.ts'
import { protocol } from './protocol.ts'
import type { Omission } from './scenario.ts'
import { scenarios } from './scenarios.ts'

/** What each omission leads to, and a scenario (clean without it, see clean.test.ts) in which it does. */
const found: [Omission, kind: string, scenario: keyof typeof scenarios][] = [
  ['no fence in begin', DURING_COPY, 'one reader'],
  ['no fence in the exporter', DURING_COPY, 'one reader'],
  ['no fence in end', HANG, 'one reader'],
  ['no fence in end', LOST_STORE, 'a writer and a reader'],
  ['end does not look at the flag', HANG, 'one reader'],
  ['generation read before the counter is raised', OLD_STORAGE, 'one reader'],
  ['descriptor sent after the generation is published', DEPRIVED, 'the exporter dies'],
  ['a nested begin backs off', HANG, 'nested brackets'],
  ['a holder that has not registered', DURING_COPY, 'a buffer that is passed on'],
  ['a holder does not watch the hang-up', HANG, 'the exporter dies'],
  ['a registration is answered in the middle of a move', DURING_COPY, 'a holder that comes late'],
  ['the exporter does not watch the hang-up', HANG, 'a holder that dies'],
  ['a begin that backs off does not tell', HANG, 'one reader'],
  ['a begin that backs off lets the event loop turn before it waits', HANG, 'one reader'],
  ['a holder without storage waits for GO', HANG, 'a holder that comes late'],
  ['the first storage is not followed by GO', HANG, 'storage on demand'],
  ['LOWERED is believed without another look', DURING_COPY, 'one reader'],
  ['a release does not wake the move', HANG, 'a holder that leaves'],
  ['the flag falls before the generation is published', DURING_COPY, 'one reader'],
  ['an aborted move keeps its number', REUSED_NUMBER, 'a move that is aborted and tried again'],
  ['GO is not sent after an abort', HANG, 'a move that is aborted and tried again'],
  ['only the newest storage is kept', DEPRIVED, 'the exporter dies in its second move'],
  ['a reset is taken for the end', DEPRIVED, 'the exporter dies'],
  ['a drain stops at the storage it looks for', SILENT_EVICTION, 'an eviction'],
  ['the fallback is used whatever its generation', OLD_STORAGE, 'a buffer that is passed on, and deaths'],
  ['an evicted holder is dropped before the commit', DURING_COPY, 'an eviction in a move that fails'],
  ['an evicted holder is told after the commit', SILENT_EVICTION, 'an eviction'],
]

test.each(found)('%s: somebody %s (%s)', (omission, kind, scenario) => {
  const { violation } = check(protocol(scenarios[scenario], omission))
  expect(violation?.kind).toBe(kind)
})
