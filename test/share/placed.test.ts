import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import { coreOf } from '../../src/dmabuf/dmabuf.ts'
import { type AllocateOptions, bufinfo, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { shift } from '../children/shift.ts'
import { useCensus } from '../support/census.ts'
import { warmUp } from '../support/dropped.ts'
import { codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
const SIZE = 64 * 4096

beforeAll(warmUp)
useCensus()

function place(options: AllocateOptions = {}): Promise<DmaBuf> {
  return heap.allocate(SIZE, { name: 'placed', movable: true, ...options })
}

function infoOf(buffer: DmaBuf) {
  const info = bufinfo().find(({ name }) => name === buffer.name)
  if (info === undefined) throw new Error('no such buffer')
  return info
}

async function move(buffer: DmaBuf): Promise<void> {
  const { moves } = infoOf(buffer).moves
  await shift(buffer)
  expect(infoOf(buffer).moves.moves).toBe(moves + 1)
}

/** Waits until it is in the middle of its move, for its holders. */
const begun = (buffer: DmaBuf) => until(() => coreOf(buffer).inMove, 'the move has begun')

const value = async (puppet: ProcessPuppet, action: string, order = {}) =>
  (await puppet.ask(action, order)).message['value']

test('a placed buffer reaches another process without storage, which comes when it is first used', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place()
  await holder.ask('hold', {}, [buffer])
  expect((await holder.ask('info')).message).toMatchObject({ generation: 0 })
  expect(infoOf(buffer)).toMatchObject({ fd: -1, generation: 0 })
  await holder.ask('store', { at: 9, value: 5 })
  expect(infoOf(buffer)).toMatchObject({ generation: 1, holders: [{ generation: 1 }] })
  expect(await buffer.withCpuAccess('read', (cpu) => cpu.bytes[9])).toBe(5)
})

test('a buffer that moves keeps its contents, and its views in every process', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place()
  await holder.ask('hold', {}, [buffer])
  await holder.ask('store', { at: 7, value: 3 })
  await move(buffer)
  expect(infoOf(buffer)).toMatchObject({ generation: 2, holders: [{ generation: 1 }] })
  await buffer.withCpuAccess('write', (cpu) => {
    cpu.bytes[8] = 4
  })
  expect([await value(holder, 'load', { at: 7 }), await value(holder, 'load', { at: 8 })]).toEqual([3, 4])
  expect(await value(holder, 'peek', { at: 8 })).toBe(4)
  expect(infoOf(buffer).holders).toMatchObject([{ generation: 2 }])
})

test('a bracket of another process holds off a move until it ends', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 30_000 })
  await holder.ask('hold', {}, [buffer])
  await holder.ask('enter', { access: 'write' })
  let moved = false
  const moving = move(buffer).then(() => {
    moved = true
  })
  // Round trips in which the move could have gone on.
  for (let turn = 0; turn < 20; turn++) await holder.ask('info')
  expect(moved).toBe(false)
  await holder.ask('end')
  await moving
  expect(infoOf(buffer).generation).toBe(2)
})

test('whoever begins while a buffer moves waits, and enters the new storage', async () => {
  await using inside = ProcessPuppet.start()
  await using late = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 30_000 })
  for (const each of [inside, late]) await each.ask('hold', {}, [buffer])
  await inside.ask('store', { at: 1, value: 6 })
  await inside.ask('enter')
  const moving = move(buffer)
  await begun(buffer)
  await late.tell('load', { at: 1 })
  for (let turn = 0; turn < 20; turn++) await inside.ask('info')
  await inside.ask('end')
  await moving
  expect((await late.channel.receive()).message).toMatchObject({ done: 'load', value: 6 })
  expect(infoOf(buffer).generation).toBe(2)
})

test('a bracket that does not end is EBUSY to the mover, and everything stays as it was', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 100 })
  await holder.ask('hold', {}, [buffer])
  await holder.ask('store', { at: 2, value: 8 })
  await holder.ask('enter')
  expect(await codeOf(() => move(buffer))).toBe('EBUSY')
  expect(infoOf(buffer).generation).toBe(1)
  await holder.ask('end')
  expect(await value(holder, 'load', { at: 2 })).toBe(8)
  await move(buffer)
  // The number of the move that failed is burnt.
  expect(infoOf(buffer).generation).toBe(3)
  expect(await value(holder, 'load', { at: 2 })).toBe(8)
})

test('with evict a holder that stays inside is left behind, and comes back by receiving the buffer again', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 50, evict: true })
  await holder.ask('hold', {}, [buffer])
  await holder.ask('store', { at: 2, value: 8 })
  await holder.ask('enter')
  await move(buffer)
  expect(infoOf(buffer).holders).toEqual([])
  await until(async () => (await holder.ask('enter')).message['code'] === 'ERR_DMABUF_EVICTED', 'it is told')
  // A view from before shows what was there.
  await buffer.withCpuAccess('write', (cpu) => {
    cpu.bytes[2] = 9
  })
  expect(await value(holder, 'peek', { at: 2 })).toBe(8)
  expect((await holder.ask('attach')).message['code']).toBe('ERR_DMABUF_EVICTED')
  await holder.ask('hold', {}, [buffer])
  expect((await holder.ask('load')).message['code']).toBe('ERR_DMABUF_EVICTED')
  await holder.ask('end')
  expect(await value(holder, 'load', { at: 2 })).toBe(9)
  expect(infoOf(buffer).holders).toHaveLength(1)
})

test('a holder that is killed inside its bracket holds nothing off any more', async () => {
  const holder = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 30_000 })
  await holder.ask('hold', {}, [buffer])
  await holder.ask('store', { at: 0, value: 1 })
  await holder.ask('enter', { access: 'write' })
  const moving = move(buffer)
  await holder.kill()
  await moving
  const cpu = await buffer.beginCpuAccess('read')
  expect([cpu.interrupted, cpu.bytes[0]]).toEqual([true, 1])
  cpu.end()
  await holder.channel.close()
})

test('a holder that registers in the middle of a move gets the new storage, after it', async () => {
  await using inside = ProcessPuppet.start()
  await using late = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 30_000 })
  await inside.ask('hold', {}, [buffer])
  await inside.ask('store', { at: 3, value: 2 })
  await inside.ask('enter')
  const moving = move(buffer)
  await begun(buffer)
  await late.ask('hold', {}, [buffer])
  await until(() => infoOf(buffer).holders.length === 2, 'it has registered')
  await late.tell('load', { at: 3 })
  for (let turn = 0; turn < 20; turn++) await inside.ask('info')
  expect(infoOf(buffer).holders.map(({ generation }) => generation)).toEqual([1, 0])
  await inside.ask('end')
  await moving
  expect((await late.channel.receive()).message).toMatchObject({ value: 2 })
  expect(infoOf(buffer).holders.map(({ generation }) => generation)).toContain(2)
})

test('a buffer that leaves for the first time in the middle of a move is entered after it', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 30_000 })
  const own = await buffer.beginCpuAccess('write')
  own.bytes[4] = 44
  const moving = move(buffer)
  await begun(buffer)
  await holder.ask('hold', {}, [buffer])
  await holder.tell('load', { at: 4 })
  await until(() => infoOf(buffer).holders.length === 1, 'it has registered')
  own.end()
  await moving
  expect((await holder.channel.receive()).message).toMatchObject({ value: 44 })
  expect(infoOf(buffer)).toMatchObject({ generation: 2, holders: [{ generation: 2 }] })
})

test('a stopped holder outside its brackets costs a few moves nothing, and finds the last storage', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 2000 })
  await holder.ask('hold', {}, [buffer])
  await holder.ask('store', { at: 5, value: 1 })
  holder.child.kill('SIGSTOP')
  for (let round = 0; round < 2; round++) {
    await move(buffer)
    await buffer.withCpuAccess('write', (cpu) => {
      cpu.bytes[5]!++
    })
  }
  holder.child.kill('SIGCONT')
  expect(await value(holder, 'load', { at: 5 })).toBe(3)
  expect(await value(holder, 'peek', { at: 5 })).toBe(3)
})

test('who waits to enter is kept alive by that', async () => {
  await using holder = ProcessPuppet.start()
  using buffer = await place({ moveTimeout: 30_000 })
  const own = await buffer.beginCpuAccess('write')
  const moving = move(buffer)
  await begun(buffer)
  await holder.ask('hold', {}, [buffer])
  await holder.ask('cling')
  await delay(100)
  expect(holder.child.exitCode).toBeNull()
  own.end()
  await Promise.all([moving, holder.gone])
  expect(holder.child.exitCode).toBe(3)
})
