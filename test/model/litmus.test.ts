import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { LitmusOrder, LitmusResult } from './litmus-side.ts'

const module = fileURLToPath(new URL('litmus-side.ts', import.meta.url))

async function said(child: ChildProcess): Promise<unknown> {
  const [message] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`a side of the litmus test ended with ${code}`)
    }),
  ])
  return message
}

/** Lets two processes meet, and returns what each of them has seen. */
async function litmus(order: Omit<LitmusOrder, 'side'>): Promise<[LitmusResult, LitmusResult]> {
  const start = (side: LitmusOrder['side']) =>
    fork(module, [JSON.stringify({ ...order, side } satisfies LitmusOrder)], {
      execArgv: ['--import', 'tsx'],
    })
  const exporter = start('exporter')
  const holder = start('holder')
  try {
    const [ofExporter, ofHolder] = await Promise.all([said(exporter), said(holder)])
    exporter.send(ofHolder as object)
    holder.send(ofExporter as object)
    return (await Promise.all([said(exporter), said(holder)])) as [LitmusResult, LitmusResult]
  } finally {
    exporter.kill()
    holder.kill()
  }
}

// On one processor nothing happens at the same time.
describe.skipIf(availableParallelism() < 2)('the words of brackets and moves in two processes', () => {
  test('a move that finds no bracket and a bracket that finds no move never meet', async () => {
    const [exporter, holder] = await litmus({ stores: 'fenced', rounds: 2_000_000, milliseconds: 10_000 })
    expect(exporter.rounds).toBeGreaterThan(0)
    expect(exporter).toEqual(holder)
    expect(exporter).toMatchObject({ both: 0 })
  })

  test('what the fences are for is counted without them, on machines that show it', async () => {
    const [exporter, holder] = await litmus({ stores: 'plain', rounds: 1_000_000, milliseconds: 4_000 })
    expect(exporter).toEqual(holder)
    const { rounds, both, first } = exporter
    console.log(`without fences both were in ${both} times in ${rounds} rounds, first in round ${first}`)
  })
})
