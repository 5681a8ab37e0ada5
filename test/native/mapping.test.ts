import { ftruncateSync, read, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { MapKind } from '../../src/native/addon.ts'
import { addon, bytesOf, inChild, mapped, memory, viewOf } from './load.ts'

const { EBADF, EFAULT, EINVAL, EFBIG, EBUSY } = constants.errno

test('a mapping shows the same view as long as it is held, and length 0 after close', () => {
  const fd = memory(8192)
  const mapping = mapped(fd, 0, 8192, MapKind.shared)
  const view = viewOf(mapping)
  expect(mapping.view()).toBe(view)
  expect(view.byteLength).toBe(8192)
  mapping.close()
  mapping.close()
  expect(view.byteLength).toBe(0)
  expect(mapping.view()).toBe(-EBADF)
  expect(mapping.relocate()).toBe(-EBADF)
  expect(mapping.duplicate(0, 1)).toBe(-EBADF)
  expect(mapping.populate(false)).toBe(-EBADF)
  addon.close(fd)
})

test('a mapping begins at any byte', () => {
  const fd = memory(3 << 20)
  const whole = bytesOf(mapped(fd, 0, 3 << 20, MapKind.shared))
  whole[4097] = 7
  whole[4097 + 4095] = 9
  const odd = bytesOf(mapped(fd, 4097, 4096, MapKind.sharedReadOnly))
  expect([odd.length, odd[0], odd[4095]]).toEqual([4096, 7, 9])
  addon.close(fd)
})

test('ranges that overflow are refused', () => {
  const fd = memory(4096)
  const ranges: [number, number][] = [
    [0, 0],
    [-1, 10],
    [2 ** 53, 1],
    [2 ** 53 - 1, 2 ** 53 - 1],
    [0.5, 1],
    [Number.NaN, 1],
  ]
  for (const [offset, length] of ranges) expect(addon.map(fd, offset, length, 0)).toBe(-EINVAL)
  expect(addon.map(fd, 0, 2 ** 52, 0)).toBeLessThan(0)
  expect(addon.map(-100, 0, 4096, 0)).toBe(-EBADF)
  expect(addon.map(fd, 0, 4096, 3 as never)).toBe(-EINVAL)
  addon.close(fd)
})

test('a range beyond 4 GiB is mapped, its view given when the engine can', () => {
  const fd = addon.memfdCreate('sparse', 0)
  const length = 5 * 2 ** 30
  ftruncateSync(fd, length)
  const mapping = mapped(fd, 0, length, MapKind.shared)
  const view = mapping.view()
  if (typeof view === 'number') expect(view).toBe(-EFBIG)
  else expect(view.byteLength).toBe(length)
  const tail = bytesOf(mapped(fd, length - 5000, 5000, MapKind.shared))
  tail[4999] = 3
  const target = new Uint8Array(1)
  expect(addon.copyOut(mapping, length - 1, target, [])).toBe(0)
  expect(target[0]).toBe(3)
  mapping.close()
  addon.close(fd)
})

test('relocation keeps the contents and ends the old view', () => {
  for (const kind of [MapKind.shared, MapKind.sharedReadOnly, MapKind.private]) {
    const fd = memory(3 << 20)
    bytesOf(mapped(fd, 0, 3 << 20, MapKind.shared)).fill(5)
    const mapping = mapped(fd, 0, 3 << 20, kind)
    const old = viewOf(mapping)
    if (kind === MapKind.private) new Uint8Array(old)[1] = 6
    expect(mapping.relocate()).toBe(0)
    expect(old.byteLength).toBe(0)
    const bytes = bytesOf(mapping)
    expect([bytes[0], bytes[1], bytes[(3 << 20) - 1]]).toEqual([5, kind === MapKind.private ? 6 : 5, 5])
    if (kind === MapKind.private) {
      expect(mapping.refresh()).toBe(0)
      expect(bytes[1]).toBe(5)
    } else expect(mapping.refresh()).toBe(-EINVAL)
    mapping.close()
    addon.close(fd)
  }
})

test('a duplicate writes where a seal forbids a new writable mapping', () => {
  const fd = memory(16384)
  const owner = mapped(fd, 0, 16384, MapKind.shared)
  expect(addon.addSeals(fd, 0x10)).toBe(0)
  expect(addon.map(fd, 0, 16384, MapKind.shared)).toBeLessThan(0)
  const copy = owner.duplicate(5000, 100)
  if (typeof copy === 'number') throw new Error(`${copy}`)
  bytesOf(copy)[0] = 42
  expect(bytesOf(owner)[5000]).toBe(42)
  expect(owner.duplicate(16384, 1)).toBe(-EINVAL)
  expect(owner.duplicate(1, 16384)).toBe(-EINVAL)
  expect(mapped(fd, 0, 10, MapKind.private).duplicate(0, 1)).toBe(-EINVAL)
  addon.close(fd)
})

test('truncated storage shows zeros and says so', () => {
  const fd = memory(16384)
  const mapping = mapped(fd, 0, 16384, MapKind.shared)
  const bytes = bytesOf(mapping).fill(1)
  ftruncateSync(fd, 4096)
  expect(mapping.faulted).toBe(false)
  expect(bytes[8192]).toBe(0)
  expect(mapping.faulted).toBe(true)
  expect(bytes[0]).toBe(1)
  expect(addon.copyOut(mapping, 0, new Uint8Array(8), [])).toBe(-EFAULT)
  expect(mapping.relocate()).toBe(0)
  const moved = bytesOf(mapping)
  expect([moved[0], moved[16383]]).toEqual([1, 0])
  expect(mapping.duplicate(8192, 10)).toBe(-EFAULT)
  mapping.close()
  expect(mapping.faulted).toBe(true)
  expect(addon.faultHandler()).toEqual([true, true])
  addon.close(fd)
})

test('a pending read into a closed view gets EFAULT', async () => {
  // A blocking descriptor: the read waits in a thread, with the raw address, until a packet comes.
  const fifo = blockingPipe()
  const fd = memory(4096)
  const mapping = mapped(fd, 0, 4096, MapKind.shared)
  const bytes = bytesOf(mapping)
  const done = new Promise<NodeJS.ErrnoException | null>((resolve) =>
    read(fifo.reader, bytes, 0, 10, null, resolve),
  )
  mapping.close()
  fifo.write()
  expect((await done)?.code).toBe('EFAULT')
  fifo.close()
  addon.close(fd)
})

function blockingPipe() {
  addon.pipe()
  const [reader, writer] = [addon.scratch.descriptors[0]!, addon.scratch.descriptors[1]!]
  // Opened anew without O_NONBLOCK, so that the read blocks.
  const blocking = addon.reopen(reader, 0)
  const out = addon.reopen(writer, 1)
  return {
    reader: blocking,
    write: () => writeSync(out, 'x'.repeat(10)),
    close: () => {
      for (const fd of [reader, writer, blocking, out]) addon.close(fd)
    },
  }
}

test('copyOut is verified by even and unchanged sequence words', () => {
  const fd = memory(8192)
  const mapping = mapped(fd, 0, 8192, MapKind.shared)
  bytesOf(mapping).fill(8)
  const words = new Uint32Array(4)
  const target = new Uint8Array(100)
  expect(addon.copyOut(mapping, 10, target, [{ words, index: 0 }])).toBe(1)
  expect(target.every((byte) => byte === 8)).toBe(true)
  words[1] = 1
  expect(
    addon.copyOut(mapping, 10, target, [
      { words, index: 0 },
      { words, index: 1 },
    ]),
  ).toBe(0)
  expect(addon.copyOut(mapping, 10, target, [{ words, index: 4 }])).toBe(-EINVAL)
  expect(addon.copyOut(mapping, 8100, target, [])).toBe(-EINVAL)
  const spiteful = {
    words,
    get index() {
      mapping.close()
      return 0
    },
  }
  expect(addon.copyOut(mapping, 0, target, [spiteful])).toBe(-EBADF)
  expect(() => addon.copyOut({} as never, 0, target, [])).toThrow(TypeError)
  addon.close(fd)
})

test('methods refuse a wrong receiver', () => {
  const fd = memory(4096)
  const mapping = mapped(fd, 0, 4096, MapKind.shared)
  const Class = mapping.constructor as new () => unknown
  expect(() => new Class()).toThrow(TypeError)
  expect(() => (Class as unknown as () => void)()).toThrow(TypeError)
  const poll = new addon.Poll(0, () => {})
  for (const receiver of [{}, poll, Object.create(mapping), new Proxy(mapping, {}), null, 1]) {
    expect(() => mapping.view.call(receiver as never)).toThrow(TypeError)
    expect(() => Reflect.get(Class.prototype, 'byteLength', receiver as object)).toThrow(TypeError)
  }
  poll.close()
  addon.close(fd)
})

test('structuredClone with transfer leaves nothing dangling', () => {
  const fd = memory(4096)
  const mapping = mapped(fd, 0, 4096, MapKind.shared)
  const view = viewOf(mapping)
  new Uint8Array(view)[0] = 1
  let clone: ArrayBuffer | undefined
  try {
    clone = structuredClone(view, { transfer: [view] })
  } catch {}
  mapping.close()
  expect(view.byteLength).toBe(0)
  if (clone) expect(new Uint8Array(clone)[0]).toBe(1)
  addon.close(fd)
})

test.runIf('transfer' in ArrayBuffer.prototype)('memory that was transferred away is left alone', () => {
  const fd = memory(4096)
  const mapping = mapped(fd, 0, 4096, MapKind.shared)
  const moved = (viewOf(mapping) as unknown as { transfer(): ArrayBuffer }).transfer()
  expect(mapping.view()).toBe(-EBUSY)
  expect(mapping.relocate()).toBe(-EBUSY)
  mapping.close()
  new Uint8Array(moved)[0] = 1
  addon.close(fd)
})

test('collected views and mappings give their addresses back', () => {
  const { status, out } = inChild(`
    const fs = require('fs')
    const maps = () => fs.readFileSync('/proc/self/maps', 'utf8').split('memfd:leak').length
    const fd = addon.memfdCreate('leak', 0); addon.allocate(fd, 1 << 20)
    const before = maps()
    for (let i = 0; i < 200; i++) { const m = addon.map(fd, 0, 1 << 20, i % 3); m.view(); if (i % 2) m.close() }
    const keep = addon.map(fd, 0, 1 << 20, 0)
    for (let i = 0; i < 50; i++) { const bytes = new Uint8Array(keep.view()); bytes[i] = i; gc() }
    for (let i = 0; i < 20 && maps() > before + 1; i++) { gc(); await turn() }
    const bytes = new Uint8Array(keep.view())
    console.log(maps() - before, bytes[49])
  `)
  expect(out.trim()).toBe('1 49')
  expect(status).toBe(0)
})

test('a bus error that is not ours goes to whoever was there before', () => {
  const ours = inChild(`
    const fd = addon.memfdCreate('x', 0); addon.allocate(fd, 4096)
    process.on('SIGBUS', () => { console.log('user handler'); process.exit(7) })
    addon.map(fd, 0, 4096, 0); console.log(addon.faultHandler().join())
    process.kill(process.pid, 'SIGBUS'); setInterval(() => {}, 1000)
  `)
  expect(ours.out).toBe('true,true\nuser handler\n')
  expect(ours.status).toBe(7)
  const none = inChild(`
    const fd = addon.memfdCreate('x', 0); addon.allocate(fd, 4096); addon.map(fd, 0, 4096, 0)
    process.kill(process.pid, 'SIGBUS'); setInterval(() => {}, 1000)
  `)
  expect([none.signal, none.status]).toContain(none.signal ? 'SIGBUS' : 128 + 7)
  const late = inChild(`
    const fd = addon.memfdCreate('x', 0); addon.allocate(fd, 4096); addon.map(fd, 0, 4096, 0)
    process.on('SIGBUS', () => {}); console.log(addon.faultHandler().join()); process.exit()
  `)
  expect(late.out.trim()).toBe('true,false')
})

test.runIf('transfer' in ArrayBuffer.prototype)(
  'transferred memory outlives its first view and the mapping',
  () => {
    const { status, out } = inChild(`
    const fd = addon.memfdCreate('leak', 0); addon.allocate(fd, 1 << 20)
    const maps = () => require('fs').readFileSync('/proc/self/maps', 'utf8').split('memfd:leak').length - 1
    const mapping = addon.map(fd, 0, 1 << 20, 0)
    let moved = mapping.view().transfer()
    await turn(); gc(); await turn()
    const again = mapping.view()
    new Uint8Array(moved)[0] = 9
    console.log(new Uint8Array(again)[0])
    mapping.close(); new Uint8Array(moved)[1] = 1; moved = null
    for (let i = 0; i < 20 && maps() > 0; i++) { gc(); await turn() }
    console.log(maps())
  `)
    expect(out).toBe('9\n0\n')
    expect(status).toBe(0)
  },
)
