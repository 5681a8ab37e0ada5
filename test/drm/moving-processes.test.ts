import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Device } from '../../src/dma.ts'
import { Display, type DrmClient, DrmDevice } from '../../src/drm.ts'
import { useCensus } from '../support/census.ts'
import { DrmProcess } from '../support/drm-process.ts'
import { codeOf } from '../support/fails.ts'
import { until } from '../support/until.ts'
import { warmSharing } from '../support/warm-sharing.ts'

const PAGE = 4096
const size = { width: 64, height: 64, bpp: 32 }
const BYTES = 4 * PAGE

let device: DrmDevice
let client: DrmClient
let display: Display

// What an environment makes once and keeps.
beforeAll(warmSharing)
useCensus()
beforeEach(() => {
  // Room for one buffer.
  device = new DrmDevice('card0', { memory: BYTES })
  client = device.open()
  display = new Display(device.device)
})
afterEach(() => {
  display.close()
  device.close()
})

function create(value: number): number {
  const { handle } = client.createDumb(size)
  using mapped = client.mapDumb(handle)
  mapped.bytes.fill(value)
  return handle
}

/** Shows a buffer for a moment, which brings it into the memory of the device; its first byte. */
async function show(handle: number): Promise<number | undefined> {
  using framebuffer = client.addFramebuffer({
    ...{ width: 64, height: 64, fourcc: 'XR24' },
    planes: [{ handle, stride: 256 }],
  })
  const picture = await display.show(framebuffer)
  display.blank()
  return picture.planes[0]?.[0]
}

const evictions = () => device.stats().memory?.evictions

test('what another process writes between two moves is shown, and it sees what is drawn here', async () => {
  await using other = new DrmProcess()
  const [a, b] = [create(1), create(2)]
  using prime = client.handleToFd(a, { access: 'read-write' })
  using mapped = client.mapDumb(a)
  await other.ask('hold', {}, [prime])
  for (let round = 0; round < 5; round++) {
    expect((await other.ask('fill', { value: 10 + round })).answer).toEqual({ done: 'fill' })
    expect(await show(a)).toBe(10 + round)
    expect(await show(b)).toBe(2)
    expect(mapped.bytes[5]).toBe(10 + round)
    mapped.bytes.fill(100 + round)
    expect((await other.ask('look')).answer).toMatchObject({ byte: 100 + round })
  }
  expect(evictions()).toBe(9)
})

test('a buffer does not leave while another process has it open, and leaves once that one was killed', async () => {
  const other = new DrmProcess()
  const [a, b] = [create(1), create(2)]
  const prime = client.handleToFd(a)
  await other.ask('hold', {}, [prime])
  expect((await other.ask('begin')).answer).toMatchObject({ open: 1 })
  expect(await codeOf(() => show(b))).toBe('ENOMEM')
  expect(evictions()).toBe(0)
  await other.kill()
  await other.channel.close()
  expect(await until(() => show(b).catch(() => undefined), 'the other one finds room')).toBe(2)
  expect(evictions()).toBe(1)
  prime.close()
  expect(await show(a)).toBe(1)
})

test('a buffer that is exported for reading is read-only there, wherever it moves', async () => {
  await using other = new DrmProcess()
  const [a, b] = [create(1), create(2)]
  using prime = client.handleToFd(a)
  await other.ask('hold', {}, [prime])
  for (let round = 0; round < 3; round++) {
    expect((await other.ask('fill', { value: 1 })).answer).toMatchObject({ code: 'EACCES' })
    expect((await other.ask('look')).answer).toMatchObject({ byte: 1 })
    expect([await show(b), await show(a)]).toEqual([2, 1])
  }
})

test('a device of another kind finds the buffer in system memory while another process has it', async () => {
  await using other = new DrmProcess()
  const a = create(1)
  using prime = client.handleToFd(a, { access: 'read-write' })
  await other.ask('hold', {}, [prime])
  await using camera = await prime.attach(new Device('camera'))
  using _table = await camera.map('bidirectional')
  expect(evictions()).toBe(1)
  expect((await other.ask('fill', { value: 3 })).answer).toEqual({ done: 'fill' })
  expect(prime.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(3)
})
