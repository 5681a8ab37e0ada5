import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { noFaults } from '../../src/dmabuf/bracket-faults.ts'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { type BracketFaults, bufinfo, type CpuAccess, DmaBuf, SystemHeap, Timeline } from '../../src/index.ts'
import { WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { useCensus } from '../support/census.ts'
import { memfd } from '../support/descriptor.ts'
import { codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until, untilCollected } from '../support/until.ts'
import { warmSharing } from '../support/warm-sharing.ts'

const heap = new SystemHeap()
let warnings: { code: string | undefined; message: string }[] = []
const note = (warning: Error & { code?: string }) => {
  warnings.push({ code: warning.code, message: warning.message })
}

beforeAll(warmSharing)
useCensus()
beforeEach(() => {
  warnings = []
  process.on('warning', note)
})
afterEach(() => {
  process.off('warning', note)
})

const turn = () => new Promise(setImmediate)

function faults(buffer: DmaBuf): BracketFaults | undefined {
  return bufinfo().find(({ id }) => id === coreOf(buffer).id)?.bracketFaults
}

const clean = noFaults

test('balanced brackets, ended by hand, by using or by both, are no fault', async () => {
  using buffer = await heap.allocate(4096, { name: 'good' })
  buffer.beginCpuAccessSync('read').end()
  {
    using cpu = buffer.beginCpuAccessSync('write')
    cpu.end()
  }
  await buffer.withCpuAccess('write', (cpu) => cpu.end())
  buffer.withCpuAccessSync('read', (cpu) => cpu.end())
  await using last = await buffer.beginCpuAccess('read')
  last.end()
  await turn()
  expect([faults(buffer), warnings]).toEqual([clean, []])
})

test('an end that comes twice is counted each time and warned of once', async () => {
  using buffer = await heap.allocate(4096, { name: 'frame' })
  const cpu = buffer.beginCpuAccessSync('read')
  for (let times = 0; times < 3; times++) cpu.end()
  await turn()
  expect(faults(buffer)).toEqual({ ...clean, endedTwice: 2 })
  const message = `buffer 'frame' (${coreOf(buffer).id}): end() of a 'read' access came twice`
  expect(warnings).toEqual([{ code: 'DMABUF_BRACKET', message }])
})

test('in production faults are counted and not warned of', async () => {
  const before = process.env['NODE_ENV']
  process.env['NODE_ENV'] = 'production'
  try {
    using buffer = await heap.allocate(4096)
    const cpu = buffer.beginCpuAccessSync('read')
    cpu.end()
    cpu.end()
    await turn()
    expect([faults(buffer)?.endedTwice, warnings]).toEqual([1, []])
  } finally {
    process.env['NODE_ENV'] = before
  }
})

test('brackets that close() had to end are counted, for that wrapper', async () => {
  using buffer = await heap.allocate(4096, { name: 'frame' })
  const second = wrap(coreOf(buffer))
  second.beginCpuAccessSync('read')
  second.beginCpuAccessSync('write')
  second.close()
  await turn()
  expect(faults(buffer)).toEqual({ ...clean, unended: 2 })
  expect(warnings.map(({ message }) => message)).toEqual([
    `buffer 'frame' (${coreOf(buffer).id}): closed with 2 CPU accesses that were never ended`,
  ])
})

test('a guard adds where the forgotten bracket was begun', async () => {
  using buffer = await heap.allocate(4096)
  buffer.guard()
  const second = wrap(coreOf(buffer))
  second.beginCpuAccessSync('read')
  second.close()
  await turn()
  expect(warnings[0]?.message).toMatch(/never ended; begun at .*bracket-faults\.test\.ts/)
})

test('brackets that the collector had to end are counted', async () => {
  using buffer = await heap.allocate(4096)
  const forget = () => {
    wrap(coreOf(buffer)).beginCpuAccessSync('write')
  }
  forget()
  await untilCollected(() => faults(buffer)?.unended === 1, 'the collector ended it')
  await turn()
  expect(warnings.map(({ message }) => message)).toEqual([
    expect.stringContaining('collected without close(), with a CPU access that was never ended'),
  ])
})

test('write brackets of one environment that overlap are counted, not warned of', async () => {
  using buffer = await heap.allocate(4096)
  using outer = buffer.beginCpuAccessSync('write')
  using inner = buffer.beginCpuAccessSync('read-write')
  using reader = buffer.beginCpuAccessSync('read')
  const all: CpuAccess[] = [outer, inner, reader]
  for (const each of all) each.end()
  await turn()
  expect([faults(buffer), warnings]).toEqual([{ ...clean, overlapping: 1 }, []])
})

test('a write bracket in that of a holder in another process is counted and warned of', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = await heap.allocate(4096, { name: 'frame' })
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('enter', { access: 'write' })
  // Its registration comes by another socket than its answer.
  const writers = () =>
    bufinfo()[0]?.holders.reduce((sum, { openWriteBrackets }) => sum + openWriteBrackets, 0)
  await until(() => writers() === 1, 'the holder is seen to write')
  buffer.beginCpuAccessSync('read').end()
  expect(faults(buffer)).toEqual(clean)
  buffer.beginCpuAccessSync('write').end()
  await turn()
  expect(faults(buffer)).toEqual({ ...clean, conflicting: 1 })
  expect(warnings.map(({ message }) => message)).toEqual([
    expect.stringContaining("a write access was begun in another one's write access"),
  ])
}, 30_000)

test('the exporter sees what went wrong with the brackets of each holder, while it is there and when it has gone', async () => {
  await using careless = ProcessPuppet.start()
  await using killed = ProcessPuppet.start()
  await using careful = ProcessPuppet.start()
  using buffer = await heap.allocate(4096, { name: 'frame' })
  for (const puppet of [careless, killed, careful]) {
    await puppet.ask('hold', {}, [buffer])
    await puppet.ask('begin', { access: 'write' })
  }
  await killed.ask('begin', { access: 'write' })
  await careless.ask('endTwice')
  await careful.ask('end')
  const byPid = () => new Map(bufinfo()[0]?.holders.map((holder) => [holder.pid, holder.bracketFaults]))
  await until(() => byPid().size === 3, 'all have registered')
  expect(byPid().get(careless.child.pid ?? 0)).toEqual({ ...clean, endedTwice: 1 })
  expect(byPid().get(killed.child.pid ?? 0)).toEqual({ ...clean, overlapping: 1 })
  expect(byPid().get(careful.child.pid ?? 0)).toEqual(clean)
  expect(bufinfo()[0]?.formerBracketFaults).toEqual(clean)

  killed.child.kill('SIGKILL')
  await until(() => byPid().size === 2, 'one is dead')
  expect(bufinfo()[0]?.formerBracketFaults).toEqual({ ...clean, overlapping: 1 })
  await careless.ask('begin', { access: 'read' })
  await careless.ask('drop')
  await until(() => byPid().size === 1, 'one has let go')
  expect(bufinfo()[0]?.formerBracketFaults).toEqual({ ...clean, overlapping: 1, endedTwice: 1, unended: 1 })
})

test("a bracket that waits for fences is nobody's when its buffer is closed: it is not counted, and the exporter not told", async () => {
  const told: string[] = []
  const ops = {
    beginCpuAccess: () => told.push('begin'),
    endCpuAccess: () => told.push('end'),
    release: () => {},
  }
  const fd = memfd(4096, WRITABLE_SEALS)
  using buffer = DmaBuf.export({ exporterName: 'mine', name: 'frame', fd, byteLength: 4096, ops })
  using timeline = new Timeline()
  buffer.reservation.add(timeline.createFence(), 'write')
  const open = () => bufinfo().find(({ name }) => name === 'frame')?.openBrackets
  const second = wrap(coreOf(buffer))
  const begun = codeOf(() => second.beginCpuAccess('write'))
  await turn()
  expect(open()).toBe(1)
  second.close()
  expect(open()).toBe(0)
  timeline.signal(1)
  expect(await begun).toBe('EBADF')
  expect([faults(buffer), told, warnings]).toEqual([clean, [], []])
})
