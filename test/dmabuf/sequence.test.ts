import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { Slot, StateRecord } from '../../src/dmabuf/words.ts'
import { type Access, type CpuAccess, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { exporterPort } from '../../src/share/exporter-port.ts'
import { useCensus } from '../support/census.ts'

const heap = new SystemHeap()

useCensus()
beforeAll(() => {
  // The state segment and the door of this environment stay.
  using buffer = heap.allocateSync(1)
  exporterPort().publish(coreOf(buffer))
})

type Step = { readonly do: 'begin'; readonly access: Access; readonly wrapper: number }
type End = { readonly do: 'end'; readonly which: number }
type Other = { readonly do: 'publish' | 'close' }

const step: fc.Arbitrary<Step | End | Other> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('begin' as const),
      access: fc.constantFrom('read', 'write', 'read-write'),
      wrapper: fc.nat(1),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('publish' as const, 'close' as const) }) },
)

/** The words that others would read: the sequence is the record's, once there is one. */
function words(buffer: DmaBuf) {
  const { slot, slotBase, shared } = coreOf(buffer)
  const own = (at: number) => slot.get(slotBase + at)
  const sequence =
    shared === undefined ? own(Slot.writeSequence) : shared.words.get(shared.base + StateRecord.writeSequence)
  return { count: own(Slot.count), writers: own(Slot.writers), sequence }
}

test('the sequence word is odd exactly while somebody writes, however brackets overlap', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      using buffer = heap.allocateSync(4096)
      const second = wrap(coreOf(buffer))
      const open: { cpu: CpuAccess; second: boolean }[] = []
      for (const next of steps) {
        const before = words(buffer)
        if (next.do === 'begin' && !(next.wrapper === 1 && second.closed)) {
          const from = next.wrapper === 1 ? second : buffer
          open.push({ cpu: from.beginCpuAccessSync(next.access), second: next.wrapper === 1 })
        }
        if (next.do === 'end' && open.length > 0) open.splice(next.which % open.length, 1)[0]?.cpu.end()
        if (next.do === 'publish') exporterPort().publish(coreOf(buffer))
        if (next.do === 'close') {
          second.close()
          open.splice(0, open.length, ...open.filter((bracket) => !bracket.second))
        }
        const writers = open.filter(({ cpu }) => cpu.access !== 'read').length
        const now = words(buffer)
        expect([now.count, now.writers]).toEqual([open.length, writers])
        expect(now.sequence % 2).toBe(writers > 0 ? 1 : 0)
        // A reader that saw it even sees that a write bracket came in between: it only ever goes on.
        if (next.do !== 'publish') expect(now.sequence).toBeGreaterThanOrEqual(before.sequence)
      }
      second.close()
      for (const { cpu } of open) cpu.end()
    }),
  )
})
