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

/** The words that others would read: the slot's, and the record's once there is one. */
function words(buffer: DmaBuf) {
  const { slot, slotBase, shared } = coreOf(buffer)
  const record =
    shared === undefined ? undefined : (shared.words[shared.base + StateRecord.writeSequence] ?? 0)
  const [count, writers, sequence] = [Slot.count, Slot.writers, Slot.writeSequence].map(
    (at) => slot[slotBase + at] ?? -1,
  )
  return { count, writers, sequence: sequence ?? -1, record }
}

test('the sequence words are odd exactly while somebody writes, however brackets overlap', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      using buffer = heap.allocateSync(4096)
      const second = wrap(coreOf(buffer))
      const open: { cpu: CpuAccess; second: boolean }[] = []
      let turns = 0
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
        if (now.sequence !== before.sequence) turns++
        expect([now.count, now.writers]).toEqual([open.length, writers])
        expect(now.sequence % 2).toBe(writers > 0 ? 1 : 0)
        if (now.record !== undefined) expect(now.record % 2).toBe(writers > 0 ? 1 : 0)
        // It never goes back, and a reader that saw it even sees every write bracket that came in between.
        expect(now.sequence).toBe(turns)
      }
      second.close()
      for (const { cpu } of open) cpu.end()
    }),
  )
})
