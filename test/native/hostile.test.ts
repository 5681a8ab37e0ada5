import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addon, inChild, mapped, memory } from './load.ts'

// What ends the process, may block, end in a signal or eat the machine's memory when numbers happen to fit is left out.
const left = new Set(['Poll', 'scratch', 'layout', 'abi', 'allocate', 'adjustExternalMemory', 'exitNow'])

test('no function crashes on any arguments', () => {
  const descriptor = fc.constantFrom(-100, -1, 900_000, 2 ** 31, -(2 ** 31), 1.5, Number.NaN)
  const junk = fc.oneof(
    descriptor,
    fc.anything(),
    fc.constant([]),
    fc.constant(new Uint8Array(3)),
    fc.constant('a\0'),
  )
  const names = Object.keys(addon).filter((name) => !left.has(name) && name !== 'open')
  const table = addon as unknown as Record<string, (...args: unknown[]) => unknown>
  const safe = (value: unknown) => (typeof value === 'number' && value >= 0 && value < 900_000 ? -1 : value)
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.array(junk, { maxLength: 6 }), (name, args) => {
      try {
        // closeLater and close would end descriptors of the test runner.
        const given = name === 'closeLater' ? [[]] : [safe(args[0]), ...args.slice(1)]
        void table[name]!(...given)
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError)
      }
    }),
    { numRuns: 5000 },
  )
})

test('no method of a mapping crashes on any arguments', () => {
  const fd = memory(1 << 16)
  const mapping = mapped(fd, 0, 1 << 16, 0)
  const methods = [
    ...(['duplicate', 'populate', 'refresh', 'relocate', 'takeOver', 'view'] as const),
    ...(['guard', 'allow', 'unguard', 'adviseHugePages'] as const),
  ] as const
  const other = fc.constantFrom(
    mapping,
    mapped(fd, 0, 4096, 0),
    Object.create(mapping),
    new Proxy(mapping, {}),
  )
  fc.assert(
    fc.property(fc.constantFrom(...methods), fc.array(fc.oneof(fc.anything(), other)), (name, args) => {
      try {
        Reflect.apply(mapping[name] as () => unknown, mapping, args)
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError)
      }
    }),
    { numRuns: 1000 },
  )
  mapping.close()
  addon.close(fd)
})

test('no copy crashes on any arguments', () => {
  const fd = memory(1 << 16)
  const mapping = mapped(fd, 0, 1 << 16, 0)
  const place = fc.oneof(
    fc.constantFrom(0, 1, 65_535, 65_536, 65_537, -1, 2 ** 53, 2 ** 53 - 65_536, 0.5, Number.NaN),
    fc.anything(),
  )
  const file = fc.constantFrom(fd, -1, 900_000, 2 ** 31, 'a', undefined)
  const target = fc.oneof(fc.constant(mapping), fc.anything())
  const calls = [
    (...args: unknown[]) =>
      Reflect.apply(addon.copyToFile, addon, [mapping, args[0], args[1], args[3], args[2]]),
    (...args: unknown[]) =>
      Reflect.apply(addon.copyMapping, addon, [mapping, args[0], args[4], args[1], args[2]]),
  ]
  fc.assert(
    fc.property(fc.constantFrom(...calls), place, place, place, file, target, (call, ...args) => {
      try {
        expect(call(...args)).toBeLessThanOrEqual(0)
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError)
      }
    }),
    { numRuns: 2000 },
  )
  mapping.close()
  addon.close(fd)
})

test('workers that end with everything open leave nothing behind', () => {
  const { status, out } = inChild(`
    const { Worker } = require('worker_threads'); const fs = require('fs')
    const count = () => fs.readdirSync('/proc/self/fd').length
    const maps = () => fs.readFileSync('/proc/self/maps', 'utf8').split('memfd:w').length
    const file = process.report && Object.values(require.cache)[0].filename
    const code = \`
      const { workerData, parentPort } = require('worker_threads'); const addon = require(workerData)
      const fd = addon.memfdCreate('w', 0); addon.allocate(fd, 1 << 20)
      const m = addon.map(fd, 0, 1 << 20, 0); new Uint8Array(m.view())[0] = 1
      addon.map(fd, 0, 1 << 20, 2).view(); addon.map(fd, 0, 1 << 20, 1)
      addon.socketPair(); const [a, b] = addon.scratch.descriptors
      const poll = new addon.Poll(b, () => { addon.receive(b); addon.send(a, 1, 0, false) }); poll.start(1)
      new addon.Poll(a, () => {}).start(4)
      addon.send(a, 1, 0, false); addon.connectDoor(fd, 10000); addon.closeLater([addon.duplicate(fd)])
      parentPort.postMessage('up')
    \`
    const one = () => new Promise((resolve, reject) => {
      const w = new Worker(code, { eval: true, workerData: file })
      w.on('error', reject); w.on('message', () => w.terminate().then(resolve))
    })
    await one(); const before = [count(), maps()]
    for (let i = 0; i < 5; i++) await Promise.all([one(), one(), one(), one()])
    console.log(count() - before[0], maps() - before[1])
  `)
  expect(out.trim()).toBe('0 0')
  expect(status).toBe(0)
})
