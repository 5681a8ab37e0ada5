import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type DrmClient, DrmDevice } from '../../src/drm.ts'
import { type DmaBuf, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { DrmProcess } from '../support/drm-process.ts'
import { codeNow } from '../support/fails.ts'
import { until } from '../support/until.ts'
import { warmSharing } from '../support/warm-sharing.ts'

const size = { width: 64, height: 64, bpp: 32 }

let device: DrmDevice
let client: DrmClient
let handle: number

// What an environment makes once and keeps.
beforeAll(warmSharing)
useCensus()
beforeEach(() => {
  device = new DrmDevice('card0')
  client = device.open()
  ;({ handle } = client.createDumb(size))
  using mapped = client.mapDumb(handle)
  mapped.bytes.fill(7)
})
afterEach(() => device.close())

function first(buffer: DmaBuf | undefined): number | undefined {
  return buffer?.withCpuAccessSync('read', (cpu) => cpu.bytes[0])
}

test('a buffer that was exported here, imported and exported there, is here the handle that it was', async () => {
  await using other = new DrmProcess()
  const prime = client.handleToFd(handle, { access: 'read-write' })
  const imported = await other.ask('import', {}, [prime])
  expect(imported.answer).toMatchObject({ handles: [1] })
  expect((await other.ask('first', { handle: 1 })).answer).toMatchObject({ first: 7 })
  const back = await other.ask('export', { handle: 1 })
  expect(back.buffers[0]?.same(prime)).toBe(true)
  expect(client.fdToHandle(back.buffers[0] as DmaBuf)).toBe(handle)
  for (const buffer of [prime, ...back.buffers]) buffer.close()
})

test('what comes twice has the same handle there, also by a second wrapper', async () => {
  // DR-50
  await using other = new DrmProcess()
  using prime = client.handleToFd(handle)
  using again = client.handleToFd(handle)
  expect((await other.ask('import', {}, [prime, again])).answer).toMatchObject({ handles: [1, 1] })
  expect((await other.ask('import', {}, [prime])).answer).toMatchObject({ handles: [1] })
  expect((await other.ask('close', { handle: 1 })).answer).toMatchObject({ handles: 0 })
  expect((await other.ask('close', { handle: 1 })).answer).toMatchObject({ code: 'EINVAL' })
})

test('a buffer that is exported for reading cannot be written there, and the drawing here shows there', async () => {
  // DR-12, DR-13
  await using other = new DrmProcess()
  using prime = client.handleToFd(handle)
  await other.ask('import', {}, [prime])
  expect((await other.ask('write', { handle: 1, value: 1 })).answer).toMatchObject({ code: 'EACCES' })
  using mapped = client.mapDumb(handle)
  mapped.bytes.fill(21)
  expect((await other.ask('first', { handle: 1 })).answer).toMatchObject({ first: 21 })
})

test('a buffer that is exported for writing is written there, and that shows in the dumb mapping here', async () => {
  await using other = new DrmProcess()
  using prime = client.handleToFd(handle, { access: 'read-write' })
  using mapped = client.mapDumb(handle)
  await other.ask('import', {}, [prime])
  await other.ask('write', { handle: 1, value: 99 })
  expect(mapped.bytes[0]).toBe(99)
})

test('a buffer lives as long as the other process has its handle', async () => {
  // DR-34
  const other = new DrmProcess()
  const prime = client.handleToFd(handle)
  await other.ask('import', {}, [prime])
  prime.close()
  client.close()
  expect((await other.ask('first', { handle: 1 })).answer).toMatchObject({ first: 7 })
  expect(device.stats().buffers).toBe(1)
  await other[Symbol.asyncDispose]()
  await until(() => device.stats().buffers === 0, 'the buffer is given back')
})

test('a buffer of a process that was killed lives as long as its handle here', async () => {
  const other = new DrmProcess()
  const { answer } = await other.ask('create', { fill: 13 })
  const exported = await other.ask('export', { handle: answer['handle'] as number })
  const buffer = exported.buffers[0] as DmaBuf
  const imported = await client.fdToHandle(buffer)
  buffer.close()
  await other.kill()
  await other.channel.close()
  using prime = client.handleToFd(imported)
  expect(first(prime)).toBe(13)
  expect(client.fdToHandle(prime)).toBe(imported)
  expect(codeNow(() => prime.beginCpuAccessSync('write'))).toBe('EACCES')
  expect(codeNow(() => client.mapDumb(imported))).toBe('EINVAL')
  client.closeHandle(imported)
})

test('a process that is killed with our buffers imported leaves nothing behind', async () => {
  const other = new DrmProcess()
  using foreign = new SystemHeap().allocateSync(4096)
  const prime = client.handleToFd(handle, { access: 'read-write' })
  await other.ask('import', {}, [prime, foreign])
  prime.close()
  client.destroyDumb(handle)
  expect(device.stats().buffers).toBe(1)
  await other.kill()
  await other.channel.close()
  await until(() => device.stats().buffers === 0, 'the buffer is given back')
})

test('an import that the other process dies under fails, or is there to be closed', async () => {
  const other = new DrmProcess()
  await other.ask('create', { fill: 1 })
  const exported = await other.ask('export', { handle: 1, access: 'read-write' })
  const buffer = exported.buffers[0] as DmaBuf
  const imported = settled(async () => client.closeHandle(await client.fdToHandle(buffer)))
  await other.kill()
  const code = await imported
  expect([undefined, 'ENODEV']).toContain(code)
  expect(client.handles).toBe(1)
  buffer.close()
  await other.channel.close()
})

/** The code that it fails with, if it does. */
async function settled(run: () => Promise<void>): Promise<string | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}
