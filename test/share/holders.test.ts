import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noFaults } from '../../src/dmabuf/bracket-faults.ts'
import { bufinfo, type DmaBuf, listen, SystemHeap } from '../../src/index.ts'
import { diagnostics } from '../../src/internal/diagnostics.ts'
import { useCensus } from '../support/census.ts'
import { warmUp } from '../support/dropped.ts'
import { codeOf } from '../support/fails.ts'
import { ProcessPuppet } from '../support/puppet.ts'
import { until } from '../support/until.ts'

const heap = new SystemHeap()
const directory = mkdtempSync(join(tmpdir(), 'dmabuf-holders-'))

beforeAll(warmUp)
afterAll(() => rmSync(directory, { recursive: true }))
useCensus()

const holdersOf = (buffer: DmaBuf) => bufinfo().find((info) => info.fd === buffer.fd)?.holders ?? []

/** Counts the buffers that were given back while `act` ran, and waits for `count` of them. */
async function released(count: number, act: () => unknown): Promise<void> {
  let seen = 0
  const listener = () => {
    seen++
  }
  diagnostics.bufferReleased.subscribe(listener)
  await act()
  await until(() => seen === count, `${count} buffers are released`)
  diagnostics.bufferReleased.unsubscribe(listener)
}

test('what one process writes the other reads, without a copy', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = heap.allocateSync(4096)
  buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(2))
  await puppet.ask('hold', {}, [buffer])
  expect((await puppet.ask('sum')).message['sum']).toBe(8192)
  await puppet.ask('fill', { value: 3 })
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.bytes[4095])).toBe(3)
})

test('a holder registers, and bufinfo shows it with its open brackets', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = heap.allocateSync(4096)
  expect(holdersOf(buffer)).toEqual([])
  await puppet.ask('hold', {}, [buffer])
  await until(() => holdersOf(buffer).length === 1, 'the holder has registered')
  await puppet.ask('begin', { access: 'read' })
  await puppet.ask('begin', { access: 'write' })
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  expect(holdersOf(buffer)).toEqual([
    {
      pid: puppet.child.pid,
      uid,
      gid,
      openBrackets: 2,
      openWriteBrackets: 1,
      generation: 1,
      bracketFaults: noFaults,
    },
  ])
  await puppet.ask('end')
  expect(holdersOf(buffer)[0]?.openBrackets).toBe(0)
  await puppet.ask('drop')
  await until(() => holdersOf(buffer).length === 0, 'the holder has let go')
})

test('send and close at once: the message keeps the buffer, and its end releases it', async () => {
  await using puppet = ProcessPuppet.start()
  await puppet.ask('hold')
  await released(1, async () => {
    const buffer = heap.allocateSync(4096)
    buffer.withCpuAccessSync('write', (cpu) => cpu.bytes.fill(1))
    const sent = puppet.tell('hold', {}, [buffer])
    buffer.close()
    await sent
    expect((await puppet.channel.receive()).message).toMatchObject({ held: 1 })
    expect((await puppet.ask('sum')).message['sum']).toBe(4096)
    await puppet.ask('drop')
  })
})

test('a buffer under way to a peer that dies without reading is released', async () => {
  const puppet = ProcessPuppet.start()
  await puppet.ask('hold')
  puppet.child.kill('SIGSTOP')
  await released(3, async () => {
    for (let count = 0; count < 3; count++) {
      const buffer = heap.allocateSync(4096)
      await puppet.tell('hold', {}, [buffer])
      buffer.close()
    }
    await puppet.kill()
  })
  await puppet.channel.close()
})

test('the death of a holder releases what it held', async () => {
  const puppet = ProcessPuppet.start()
  await released(2, async () => {
    const buffers = [heap.allocateSync(4096), heap.allocateSync(4096)]
    await puppet.ask('hold', {}, buffers)
    for (const buffer of buffers) buffer.close()
    await puppet.kill()
  })
  await puppet.channel.close()
})

test('a holder killed inside a write bracket interrupts, once, whoever begins next', async () => {
  const puppet = ProcessPuppet.start()
  await using witness = ProcessPuppet.start()
  using buffer = heap.allocateSync(4096)
  await puppet.ask('hold', {}, [buffer])
  await witness.ask('hold', {}, [buffer])
  await puppet.ask('begin', { access: 'write' })
  await until(() => holdersOf(buffer).some((holder) => holder.openWriteBrackets === 1), 'the bracket is seen')
  await puppet.kill()
  await until(() => holdersOf(buffer).length === 1, 'its death is noticed')
  expect(await codeOf(() => buffer.beginCpuAccess('read', { strict: true }))).toBe('EOWNERDEAD')
  expect((await witness.ask('begin', { strict: true })).message['code']).toBe('EOWNERDEAD')
  expect((await witness.ask('begin')).message['interrupted']).toBe(false)
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.interrupted)).toBe(false)
  await puppet.channel.close()
})

test('a holder killed inside a read bracket interrupts nobody', async () => {
  const puppet = ProcessPuppet.start()
  using buffer = heap.allocateSync(4096)
  await puppet.ask('hold', {}, [buffer])
  await puppet.ask('begin', { access: 'read' })
  await until(() => holdersOf(buffer).some((holder) => holder.openBrackets === 1), 'the bracket is seen')
  await puppet.kill()
  await until(() => holdersOf(buffer).length === 0, 'its death is noticed')
  expect(buffer.withCpuAccessSync('write', (cpu) => cpu.interrupted)).toBe(false)
  await puppet.channel.close()
})

test('when the exporter dies its memory stays, and brackets work', async () => {
  const puppet = ProcessPuppet.start()
  const { buffers } = await puppet.ask('allocate', { bytes: 8192 })
  const [buffer] = buffers
  if (buffer === undefined) throw new Error('no buffer')
  expect([buffer.role, buffer.name, buffer.byteLength]).toEqual(['holder', 'of the puppet', 8192])
  await puppet.ask('fill', { value: 4 })
  await puppet.kill()
  await puppet.channel.closed
  buffer.withCpuAccessSync('read-write', (cpu) => {
    expect(cpu.bytes[8191]).toBe(4)
    cpu.bytes.fill(5)
    expect(cpu.interrupted).toBe(false)
  })
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.copy().bytes[0])).toBe(5)
  buffer.close()
  await puppet.channel.close()
})

test('an exporter killed inside its write bracket interrupts its holders', async () => {
  const puppet = ProcessPuppet.start()
  const { buffers } = await puppet.ask('allocate', { bytes: 4096 })
  const [buffer] = buffers
  if (buffer === undefined) throw new Error('no buffer')
  await puppet.ask('begin', { access: 'write' })
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.interrupted)).toBe(false)
  await puppet.kill()
  await until(() => {
    using cpu = buffer.beginCpuAccessSync('read')
    return cpu.interrupted
  }, 'the death of the exporter is noticed')
  expect(buffer.withCpuAccessSync('read', (cpu) => cpu.interrupted)).toBe(false)
  buffer.close()
  await puppet.channel.close()
})

test('a buffer forwarded by a process that is gone is the same buffer, by both ways', async () => {
  const path = join(directory, 'forward')
  await using third = ProcessPuppet.start()
  const forwarder = ProcessPuppet.start()
  const server = await listen(path)
  using buffer = heap.allocateSync(4096)
  await third.ask('hold', {}, [buffer])
  await forwarder.ask('hold', {}, [buffer])
  // Back to the exporter over the forwarder: its own buffer again.
  const forwarding = forwarder.ask('forward', { path })
  const channel = await server.accept()
  const { buffers } = await channel.receive()
  expect(buffers[0]?.same(buffer)).toBe(true)
  expect(buffers[0]?.role).toBe('exporter')
  await forwarding
  await forwarder.kill()
  // And on to the third, who has it already.
  expect((await third.ask('same', {}, buffers)).message['same']).toBe(true)
  for (const each of buffers) each.close()
  await Promise.all([channel.close(), server.close(), forwarder.channel.close()])
  expect(existsSync(path)).toBe(false)
})

test('a holder gets a buffer from a forwarder who is gone, and registers at the exporter', async () => {
  const path = join(directory, 'third')
  // Exporter, forwarder and holder, three processes: this one is the holder.
  await using exporter = ProcessPuppet.start()
  const forwarder = ProcessPuppet.start()
  const server = await listen(path)
  const { buffers } = await exporter.ask('allocate', { bytes: 4096 })
  await forwarder.ask('hold', {}, buffers)
  for (const buffer of buffers) buffer.close()
  const forwarding = forwarder.ask('forward', { path })
  const channel = await server.accept()
  const received = await channel.receive()
  await forwarding
  await forwarder.kill()
  const [buffer] = received.buffers
  expect(buffer?.role).toBe('holder')
  await exporter.ask('fill', { value: 6 })
  expect(buffer?.withCpuAccessSync('read', (cpu) => cpu.bytes[0])).toBe(6)
  const again = await exporter.ask('show')
  expect(again.buffers[0]?.same(buffer as DmaBuf)).toBe(true)
  for (const each of [...received.buffers, ...again.buffers]) each.close()
  await Promise.all([channel.close(), server.close(), forwarder.channel.close()])
})

test('revoke reaches the holder: no new access, and none here', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = heap.allocateSync(4096)
  await puppet.ask('hold', {}, [buffer])
  await until(() => holdersOf(buffer).length === 1, 'the holder has registered')
  buffer.revoke()
  expect((await puppet.ask('begin')).message['code']).toBe('ENODEV')
  expect((await puppet.ask('state')).message['held']).toEqual([{ role: 'holder', revoked: true }])
  expect(await codeOf(() => buffer.beginCpuAccess('read'))).toBe('ENODEV')
})

test('a buffer that goes there and back a thousand times travels by name', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = heap.allocateSync(4096)
  await puppet.ask('hold', {}, [buffer])
  const rounds = async (count: number) => {
    for (let round = 0; round < count; round++) {
      const { buffers } = await puppet.ask('echo', {}, [buffer])
      expect(buffers[0]?.same(buffer)).toBe(true)
      for (const each of buffers) each.close()
    }
  }
  await rounds(10)
  const before = (await puppet.ask('descriptors')).message['count']
  await rounds(1000)
  expect((await puppet.ask('descriptors')).message['count']).toBe(before)
})

test('kept names survive every interleaving of closing and sending again', async () => {
  await using puppet = ProcessPuppet.start()
  using buffer = heap.allocateSync(4096)
  let behind = 0
  for (let round = 0; round < 200; round++) {
    await puppet.tell('hold', {}, [buffer])
    await puppet.tell('hold', {}, [buffer])
    if (round % 3 === 0) await puppet.tell('drop')
    await puppet.tell('hold', {}, [buffer])
    await puppet.tell('drop')
    const answers = round % 3 === 0 ? 5 : 4
    // Every other round the next one begins while this one is still under way.
    if (round % 2 === 0) behind += answers
    else {
      for (let count = 0; count < behind + answers; count++) await puppet.channel.receive()
      behind = 0
    }
  }
  expect((await puppet.ask('state')).message['held']).toEqual([])
})
