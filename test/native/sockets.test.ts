import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DISCONNECT, Meta, READABLE, TRUNCATED_CONTROL } from '../../src/native/addon.ts'
import { addon, inChild, memory, openDescriptors, sockets } from './load.ts'

const { EAGAIN, EBADF, EINVAL, ECONNREFUSED, ENOTSOCK, ETIMEDOUT, ENAMETOOLONG } = constants.errno
const { scratch } = addon
const O_PATH = 0o10000000

test('a packet carries bytes, credentials and 253 descriptors', () => {
  const before = openDescriptors()
  const [a, b] = sockets()
  const fd = memory(4096)
  expect(addon.passCredentials(b, true)).toBe(0)
  expect(addon.receive(b)).toBe(-EAGAIN)
  scratch.tx.set([1, 2, 3])
  scratch.outgoing.fill(fd)
  expect(addon.send(a, 3, 253, true)).toBe(3)
  expect(addon.receive(b)).toBe(3)
  expect([...scratch.rx.subarray(0, 3)]).toEqual([1, 2, 3])
  expect(scratch.meta[Meta.descriptors]).toBe(253)
  expect([scratch.meta[Meta.hasCredentials], scratch.meta[Meta.pid]]).toEqual([1, process.pid])
  expect(scratch.meta[Meta.uid]).toBe(process.getuid!())
  for (const each of scratch.incoming.slice(0, 253)) expect(addon.close(each)).toBe(0)
  expect(addon.send(a, 3, 254, false)).toBe(-EINVAL)
  expect(addon.send(a, 2 ** 20, 0, false)).toBe(-EINVAL)
  addon.close(a)
  expect(addon.receive(b)).toBe(0)
  addon.close(b)
  addon.close(fd)
  expect(openDescriptors()).toBe(before)
})

test('truncated control data leaves no descriptor behind', () => {
  const { out } = inChild(
    `
    const fs = require('fs')
    addon.socketPair(); const [a, b] = addon.scratch.descriptors
    const fd = addon.memfdCreate('x', 0); addon.scratch.outgoing.fill(fd)
    const count = () => fs.readdirSync('/proc/self/fd').length
    addon.send(a, 1, 30, false)
    const before = count(); const length = addon.receive(b)
    console.log(length, addon.scratch.meta[0], addon.scratch.meta[1], count() - before)
  `,
    'ulimit -n 40; exec "$@"',
  )
  expect(out.trim()).toBe(`1 0 ${TRUNCATED_CONTROL} 0`)
})

test('sockets are bound, connected and identified', () => {
  const name = `dmabuf-test-${process.pid}`
  const server = addon.socket()
  expect(addon.bind(server, name, true)).toBe(0)
  expect(addon.listen(server, 4)).toBe(0)
  const client = addon.socket()
  expect(addon.connect(client, name, true)).toBe(0)
  const accepted = addon.accept(server)
  expect(accepted).toBeGreaterThan(2)
  expect(addon.accept(server)).toBe(-EAGAIN)
  expect(addon.peerCredentials(accepted)).toBe(0)
  expect(scratch.meta[Meta.pid]).toBe(process.pid)
  const pidfd = addon.peerPidfd(accepted)
  expect(pidfd).toBeGreaterThan(2)
  expect(addon.pollNow(pidfd, 1)).toBe(0)
  const own = addon.pidfdOpen(process.pid)
  expect(own).toBeGreaterThan(2)
  expect(addon.bind(client, 'x'.repeat(200), false)).toBe(-ENAMETOOLONG)
  expect(addon.bind(client, '', false)).toBe(-EINVAL)
  expect(addon.bind(client, 'a\0b', false)).toBe(-EINVAL)
  for (const fd of [server, client, accepted, pidfd, own]) addon.close(fd)
})

test('Poll tells of packets and of the end', async () => {
  const [a, b] = sockets()
  const seen: number[] = []
  await new Promise<void>((resolve) => {
    const poll = new addon.Poll(b, (events) => {
      seen.push(events)
      const length = addon.receive(b)
      if (length === 1) addon.close(a)
      if (length !== 0) return
      poll.close()
      poll.close()
      expect(poll.start(1)).toBe(-EBADF)
      resolve()
    })
    expect(poll.start(8)).toBe(-EINVAL)
    expect(poll.start(READABLE | DISCONNECT)).toBe(0)
    addon.send(a, 1, 0, false)
  })
  expect(seen[0]).toBe(READABLE)
  expect(seen.at(-1)! & DISCONNECT).toBe(DISCONNECT)
  addon.close(b)
  expect(new addon.Poll(-1, () => {}).start(1)).toBe(-EBADF)
})

test('an unreferenced Poll keeps no process alive, and a throwing callback is an uncaught exception', () => {
  const quiet = inChild(`
    addon.socketPair(); const p = new addon.Poll(addon.scratch.descriptors[0], () => {}); p.start(1); p.unref(); console.log('end')`)
  expect(quiet).toEqual({ status: 0, signal: null, out: 'end\n' })
  const thrown = inChild(`
    process.on('uncaughtException', (e) => { console.log('caught', e.message); process.exit(3) })
    addon.socketPair(); const [a, b] = addon.scratch.descriptors
    const p = new addon.Poll(b, () => { throw new Error('x') }); p.start(1); addon.send(a, 1, 0, false)`)
  expect(thrown).toEqual({ status: 3, signal: null, out: 'caught x\n' })
})

test('a nested epoll set sleeps until it is armed again', () => {
  const epoll = addon.epollCreate()
  addon.pipe()
  const [reader, writer] = [scratch.descriptors[0]!, scratch.descriptors[1]!]
  expect(addon.epollArm(epoll, reader, 0xffff_ffff, 0, false)).toBe(0)
  expect(addon.epollTake(epoll)).toBe(0)
  addon.close(writer)
  expect(addon.epollTake(epoll)).toBe(1)
  expect(scratch.tokens[0]).toBe(0xffff_ffff)
  expect(addon.epollTake(epoll)).toBe(0)
  expect(addon.epollArm(epoll, reader, 5, 0, true)).toBe(0)
  expect(addon.epollTake(epoll)).toBe(1)
  expect(addon.epollRemove(epoll, reader)).toBe(0)
  addon.close(reader)
  addon.close(epoll)
})

test('a door is connected to, or says why not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'door-'))
  const path = join(folder, 'socket')
  const server = addon.socket()
  addon.bind(server, path, false)
  const door = addon.open(path, O_PATH, 0)
  expect(addon.inspectDoor(door)).toBe(0)
  expect(await addon.connectDoor(door, 1000)).toBe(-ECONNREFUSED)
  addon.listen(server, 0)
  const pending = addon.connectDoor(door, 1000)
  const second = addon.duplicate(door)
  addon.close(door)
  const client = await pending
  expect(client).toBeGreaterThan(2)
  // The backlog is full now and nobody accepts.
  expect(await addon.connectDoor(second, 50)).toBe(-ETIMEDOUT)
  writeFileSync(join(folder, 'plain'), '')
  const plain = addon.adopt(openSync(join(folder, 'plain'), O_PATH))
  expect(addon.inspectDoor(plain)).toBe(-ENOTSOCK)
  expect(await addon.connectDoor(plain, 1000)).toBe(-ENOTSOCK)
  expect(await addon.connectDoor(-1, 1000)).toBe(-EBADF)
  expect(() => addon.connectDoor('x' as never, 1)).toThrow(TypeError)
  for (const fd of [client, second, plain, server]) addon.close(fd)
  rmSync(folder, { recursive: true })
})
