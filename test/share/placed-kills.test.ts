import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import type { DmaBuf } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { useCompiled } from '../support/compiled.ts'
import { warmUp } from '../support/dropped.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const code = useCompiled()

beforeAll(warmUp)
useCensus()

const SIZE = 1 << 20

/** An exporter whose buffer moves all the time, and two holders that count in it. */
async function storm() {
  const [exporter, ...holders] = [0, 1, 2].map(() => ProcessPuppet.start({}, undefined, code))
  if (exporter === undefined) throw new Error('no exporter')
  const buffer = (await exporter.ask('place', { bytes: SIZE, options: { moveTimeout: 10_000 } }))
    .buffers[0] as DmaBuf
  for (const [word, holder] of holders.entries()) {
    await holder.ask('hold', {}, [buffer])
    await holder.ask('toil', { word })
  }
  buffer.close()
  await exporter.ask('roam')
  return { exporter, holders }
}

const movesOf = async (puppet: ProcessPuppet) => Number((await puppet.ask('rest')).message['moves'])
const wordsOf = async (puppet: ProcessPuppet) => (await puppet.ask('words')).message['words'] as number[]

test('of what two processes count in a buffer that moves all the time nothing is lost', async () => {
  const { exporter, holders } = await storm()
  await delay(1000)
  const counts = await Promise.all(holders.map(movesOf))
  const moves = await movesOf(exporter)
  expect(moves).toBeGreaterThan(3)
  for (const each of [exporter, ...holders]) expect((await wordsOf(each)).slice(0, 2)).toEqual(counts)
  for (const each of [exporter, ...holders]) await each[Symbol.asyncDispose]()
})

test('whenever the exporter is killed, its holders agree on the storage, with all that was counted', async () => {
  for (let round = 0; round < 8; round++) {
    const { exporter, holders } = await storm()
    await delay(Math.random() * 150)
    await exporter.kill()
    await delay(Math.random() * 20)
    const counts = await Promise.all(holders.map(movesOf))
    for (const holder of holders) expect((await wordsOf(holder)).slice(0, 2)).toEqual(counts)
    const [writer, reader] = holders as [ProcessPuppet, ProcessPuppet]
    await writer.ask('store', { at: 100, value: round })
    expect((await reader.ask('load', { at: 100 })).message['value']).toBe(round)
    for (const holder of holders) await holder[Symbol.asyncDispose]()
    await exporter.channel.close()
  }
})

test('whenever a holder is killed, the buffer goes on moving, with all that the others counted', async () => {
  for (let round = 0; round < 6; round++) {
    const { exporter, holders } = await storm()
    const [victim, other] = holders as [ProcessPuppet, ProcessPuppet]
    await delay(Math.random() * 100)
    await victim.kill()
    const { generation } = (await exporter.ask('info')).message
    await until(
      async () => Number((await exporter.ask('info')).message['generation']) > Number(generation) + 2,
      'it goes on moving',
    )
    const count = await movesOf(other)
    await movesOf(exporter)
    expect([(await wordsOf(other))[1], (await wordsOf(exporter))[1]]).toEqual([count, count])
    for (const each of [exporter, other]) await each[Symbol.asyncDispose]()
    await victim.channel.close()
  }
})
