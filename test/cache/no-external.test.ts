import { beforeAll, expect, test } from 'vitest'
import { Device, DmaEngine } from '../../src/dma.ts'
import { coreOf, wrap } from '../../src/dmabuf/dmabuf.ts'
import { SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'
import { codeNow } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { warmSharing } from '../support/warm-sharing.ts'

// Asked when the first buffer is made, which is after this.
process.env['DMABUF_NO_EXTERNAL'] = '1'

beforeAll(warmSharing)
useCensus()

const heap = new SystemHeap()

test('where no ArrayBuffer may lie over shared memory, views are of a copy that brackets keep in step', async () => {
  await using puppet = ProcessPuppet.start({ env: { ...process.env, DMABUF_NO_EXTERNAL: '0' } })
  using buffer = heap.allocateSync(4096)
  expect([buffer.coherency, buffer.zeroCopy]).toEqual(['coherent', false])
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('coherency')).message).toMatchObject({ coherency: 'coherent', zeroCopy: true })
  buffer.withCpuAccessSync('write', ({ bytes }) => bytes.fill(1))
  expect((await puppet.ask('sum')).message['sum']).toBe(4096)
  await puppet.ask('fill', { value: 2 })
  expect(buffer.withCpuAccessSync('read', (cpu) => [cpu.bytes[0], cpu.copy().bytes[4095]])).toEqual([2, 2])
  // Received from elsewhere, too.
  const { buffers } = await puppet.ask('allocate', { bytes: 10 })
  for (const theirs of buffers) {
    theirs.withCpuAccessSync('write', ({ bytes }) => bytes.fill(9))
    expect(theirs.zeroCopy).toBe(false)
    theirs.close()
  }
  await puppet.ask('drop')
})

test('a bracket that is closed with its wrapper is written back there, as in shared memory', () => {
  using buffer = heap.allocateSync(4096)
  const other = wrap(coreOf(buffer))
  other.beginCpuAccessSync('write').bytes[0] = 5
  other.close()
  expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[0])).toBe(5)
})

test('devices work there, and non-coherent buffers say that they do not', async () => {
  using buffer = heap.allocateSync(4096)
  const device = new Device('camera')
  const attachment = await buffer.attach(device)
  const table = await attachment.map('bidirectional')
  await new DmaEngine(device).fill(table, 0, 10, 4)
  expect(buffer.withCpuAccessSync('read', ({ bytes }) => bytes[9])).toBe(4)
  attachment.detach()
  using cached = heap.allocateSync(4096, { coherency: 'non-coherent' })
  expect(codeNow(() => cached.beginCpuAccessSync('read'))).toBe('ENOTSUP')
})
