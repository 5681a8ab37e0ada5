import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CacheHints, CpuUse, SyncDirection } from '../../src/memory/cache/maintenance.ts'
import { Arm64 } from './arm64.ts'
import { plainBuffer } from './memory.ts'

const BYTES = 256
const LINE = 16

const range = fc
  .tuple(fc.nat(BYTES), fc.nat(BYTES))
  .map(([one, other]) => ({ offset: Math.min(one, other), length: Math.abs(one - other) }))
const hints = fc.constantFrom<CacheHints>({}, {}, {}, { skipClean: true }, { skipInvalidate: true })
const use = fc.constantFrom<CpuUse>('read', 'write', 'read-write')
const direction = fc.constantFrom<SyncDirection>('to-device', 'from-device', 'bidirectional')
const step = fc.record({
  act: fc.constantFrom('begin', 'end', 'map', 'unmap', 'store', 'store', 'dma', 'snooped'),
  ...{ range, hints, use, direction, at: fc.nat(BYTES - 1) },
})

test('whatever a program does and forgets, CPU and devices see what they would see on arm64', () => {
  fc.assert(
    // Each store has a value of its own: one that changes nothing is missed.
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const { model, bytes, memory, dmaWrite } = bound()
      const real = new Arm64(BYTES, LINE)
      for (const [index, { act, range, hints, use, direction, at }] of steps.entries()) {
        const value = index + 1
        const { offset, length } = range
        const coherent = act === 'snooped'
        if (act === 'begin') for (const side of [model, real]) side.begin(use, offset, length, hints)
        else if (act === 'end') for (const side of [model, real]) side.end(use, offset, length, hints)
        else if (act === 'map') {
          model.map(direction, false, hints)
          real.map(hints)
        } else if (act === 'unmap' && real.mapped > 0) {
          model.unmap(direction, false, hints)
          real.unmap(direction, hints)
        } else if (act === 'store') {
          bytes[at] = value
          real.store(at, value)
        } else if (act === 'dma' || coherent) {
          dmaWrite(offset, length, value, coherent)
          real.dmaWrite(offset, length, value, coherent)
        }
        expect(bytes, `the CPU after ${index} ${act}`).toEqual(real.view)
        expect(memory.memory.subarray(0, BYTES), `memory after ${index} ${act}`).toEqual(real.memory)
      }
    }),
    { numRuns: 300 },
  )
})

function bound() {
  const buffer = plainBuffer(BYTES, undefined, LINE)
  const { model, bytes, memory } = buffer
  return { model, bytes, memory, dmaWrite: buffer.dmaWrite.bind(buffer) }
}
