import { strict as assert } from 'node:assert'
import { type Access, type DmaBuf, SyncFile } from '../../src/index.ts'

/** Something that is being done, until this is called. */
export type Signal = () => Promise<void>

/** Where buffers and fences come from: this library's emulation, or the kernel. */
export interface FenceWorld {
  /** An idle buffer, to be closed. */
  buffer(): Promise<DmaBuf>
  /** A device has begun to read or write the buffer. */
  start(buffer: DmaBuf, access: 'read' | 'write'): Promise<Signal>
  /** A pending fence of a timeline of its own, as a file to be closed. */
  file(): Promise<{ readonly file: SyncFile; readonly signal: Signal }>
}

/** What the kernel does, by its number in the list of its behaviours, and whoever claims to do the same must do. */
export interface Statement {
  readonly name: string
  readonly holds: (world: FenceWorld) => Promise<void>
}

/** Which of reading and writing could begin at once. */
export function ready(buffer: DmaBuf): string {
  const can = (access: Access) => {
    try {
      buffer.beginCpuAccessSync(access).end()
      return true
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
      return false
    }
  }
  assert.equal(can('read-write'), can('write'))
  return `${can('read') ? 'r' : '-'}${can('write') ? 'w' : '-'}`
}

const statusOf = (file: SyncFile) => file.fence.status
const merge = (first: SyncFile, ...others: SyncFile[]) =>
  others.reduce((sum, file) => SyncFile.merge(sum, file), first)

function close(...all: Disposable[]): void {
  for (const each of all) each[Symbol.dispose]()
}

/** Whether it is still not settled after some turns of the loop. */
async function waits(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.then(
    () => {
      settled = true
    },
    () => {
      settled = true
    },
  )
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
  return !settled
}

export const statements: readonly Statement[] = [
  {
    name: 'PO-01, PO-16, PO-18: an idle buffer can be entered, and what it waits for is one signalled fence',
    holds: async (world) => {
      const buffer = await world.buffer()
      assert.equal(ready(buffer), 'rw')
      await Promise.all([buffer.poll('read'), buffer.poll('write')])
      const file = await buffer.exportSyncFile('read-write')
      assert.equal(statusOf(file), 'signalled')
      assert.equal(file.info().fences.length, 1)
      assert.equal(file.info().status, 1)
      close(file, buffer)
    },
  },
  {
    name: 'PO-03, PO-04, PO-05, PO-19: a reading device holds up writers alone',
    holds: async (world) => {
      const buffer = await world.buffer()
      const signal = await world.start(buffer, 'read')
      assert.equal(ready(buffer), 'r-')
      await buffer.poll('read')
      const [forReader, forWriter, forBoth] = await Promise.all([
        buffer.exportSyncFile('read'),
        buffer.exportSyncFile('write'),
        buffer.exportSyncFile('read-write'),
      ])
      assert.deepEqual([forReader, forWriter, forBoth].map(statusOf), ['signalled', 'pending', 'pending'])
      const polled = buffer.poll('write')
      assert.ok(await waits(polled))
      await signal()
      await polled
      assert.equal(ready(buffer), 'rw')
      close(forReader, forWriter, forBoth, buffer)
    },
  },
  {
    name: 'PO-06, PO-07: a writing device holds up everybody, and its fence wakes them',
    holds: async (world) => {
      const buffer = await world.buffer()
      const signal = await world.start(buffer, 'write')
      assert.equal(ready(buffer), '--')
      const polls = [buffer.poll('read'), buffer.poll('write')]
      const begins = [buffer.beginCpuAccess('read'), buffer.beginCpuAccess('read-write')]
      const all = Promise.all<unknown>([...polls, ...begins])
      assert.ok(await waits(Promise.race(polls)))
      assert.ok(await waits(Promise.race(begins)))
      await signal()
      await all
      for (const cpu of await Promise.all(begins)) cpu.end()
      assert.equal(ready(buffer), 'rw')
      close(buffer)
    },
  },
  {
    name: 'SY: a bracket that waits is aborted by its signal, and others are not',
    holds: async (world) => {
      const buffer = await world.buffer()
      const signal = await world.start(buffer, 'write')
      const controller = new AbortController()
      const aborted = [
        buffer.beginCpuAccess('read', { signal: controller.signal }),
        buffer.poll('write', { signal: controller.signal }),
      ]
      const other = buffer.beginCpuAccess('write')
      assert.ok(await waits(Promise.race(aborted)))
      controller.abort()
      for (const each of aborted) await assert.rejects(each, { code: 'ABORT_ERR' })
      assert.ok(await waits(other))
      await signal()
      ;(await other).end()
      close(buffer)
    },
  },
  {
    name: 'PO-22, PO-41: an imported reader holds up writers; one that has signalled nobody',
    holds: async (world) => {
      const buffer = await world.buffer()
      const { file, signal } = await world.file()
      await buffer.importSyncFile(file, 'read')
      assert.equal(ready(buffer), 'r-')
      await signal()
      assert.equal(ready(buffer), 'rw')
      await buffer.importSyncFile(file, 'write')
      assert.equal(ready(buffer), 'rw')
      close(file, buffer)
    },
  },
  {
    name: 'PO-23, PO-24b, PO-24c: an imported writer holds up everybody; a reader is promoted, a writer not demoted',
    holds: async (world) => {
      const buffer = await world.buffer()
      const { file, signal } = await world.file()
      await buffer.importSyncFile(file, 'read')
      await buffer.importSyncFile(file, 'read-write')
      assert.equal(ready(buffer), '--')
      await buffer.importSyncFile(file, 'read')
      assert.equal(ready(buffer), '--')
      await signal()
      assert.equal(ready(buffer), 'rw')
      close(file, buffer)
    },
  },
  {
    name: 'PO-25: one signal releases every buffer that the fence was imported into',
    holds: async (world) => {
      const [one, two] = [await world.buffer(), await world.buffer()]
      const { file, signal } = await world.file()
      await one.importSyncFile(file, 'write')
      await two.importSyncFile(file, 'read')
      assert.deepEqual([ready(one), ready(two)], ['--', 'r-'])
      await signal()
      assert.deepEqual([ready(one), ready(two)], ['rw', 'rw'])
      close(file, one, two)
    },
  },
  {
    name: 'PO-26, PO-27: what was exported is of then; later fences do not delay it',
    holds: async (world) => {
      const buffer = await world.buffer()
      const [first, second] = [await world.file(), await world.file()]
      await buffer.importSyncFile(first.file, 'write')
      const snapshot = await buffer.exportSyncFile('read')
      await buffer.importSyncFile(second.file, 'write')
      await first.signal()
      assert.equal(await snapshot.wait(), true)
      assert.equal(ready(buffer), '--')
      await second.signal()
      assert.equal(ready(buffer), 'rw')
      close(snapshot, first.file, second.file, buffer)
    },
  },
  {
    name: 'PO-28, PO-29, PO-30: writers wait for two readers, and see both of them',
    holds: async (world) => {
      const buffer = await world.buffer()
      const [first, second] = [await world.file(), await world.file()]
      for (const { file } of [first, second]) await buffer.importSyncFile(file, 'read')
      const exported = await buffer.exportSyncFile('write')
      assert.equal(exported.info().fences.length, 2)
      await first.signal()
      assert.equal(statusOf(exported), 'pending')
      assert.equal(exported.info().status, 0)
      assert.deepEqual(
        exported
          .info()
          .fences.map(({ status }) => status)
          .sort(),
        [0, 1],
      )
      assert.equal(ready(buffer), 'r-')
      await second.signal()
      assert.equal(statusOf(exported), 'signalled')
      assert.equal(ready(buffer), 'rw')
      close(exported, first.file, second.file, buffer)
    },
  },
  {
    name: 'PO-31: eight readers and a writer: readers wait for the writer, writers for all',
    holds: async (world) => {
      const buffer = await world.buffer()
      const readers = await Promise.all(Array.from({ length: 8 }, () => world.file()))
      const writer = await world.file()
      for (const { file } of readers) await buffer.importSyncFile(file, 'read')
      await buffer.importSyncFile(writer.file, 'write')
      assert.equal(ready(buffer), '--')
      await writer.signal()
      for (const { signal } of readers) {
        assert.equal(ready(buffer), 'r-')
        await signal()
      }
      assert.equal(ready(buffer), 'rw')
      close(...readers.map(({ file }) => file), writer.file, buffer)
    },
  },
  {
    name: 'PO-32, PO-33: a merged file is imported member by member, and the buffer idle with the last',
    holds: async (world) => {
      const buffer = await world.buffer()
      const [first, second] = [await world.file(), await world.file()]
      const both = merge(first.file, second.file)
      await buffer.importSyncFile(both, 'read')
      const exported = await buffer.exportSyncFile('write')
      assert.equal(exported.info().fences.length, 2)
      await first.signal()
      assert.equal(ready(buffer), 'r-')
      await second.signal()
      assert.equal(ready(buffer), 'rw')
      close(exported, both, first.file, second.file, buffer)
    },
  },
  {
    name: 'PO-34, PO-35: an exported file outlives its buffer, and still signals',
    holds: async (world) => {
      const buffer = await world.buffer()
      const { file, signal } = await world.file()
      await buffer.importSyncFile(file, 'write')
      const exported = await buffer.exportSyncFile('read')
      close(buffer, file)
      assert.equal(statusOf(exported), 'pending')
      const waited = exported.wait()
      await signal()
      assert.equal(await waited, true)
      close(exported)
    },
  },
  {
    name: 'SF-06, SF-13, SF-16, SF-21: a merged file signals with its last member, and needs not what it was made of',
    holds: async (world) => {
      const [first, second] = [await world.file(), await world.file()]
      const both = SyncFile.merge(first.file, second.file, { name: 'both' })
      assert.deepEqual([both.info().name, both.info().status, both.info().fences.length], ['both', 0, 2])
      await first.signal()
      assert.deepEqual([first.file, both, second.file].map(statusOf), ['signalled', 'pending', 'pending'])
      close(first.file, second.file)
      const waited = both.wait()
      await second.signal()
      assert.equal(await waited, true)
      assert.equal(both.info().status, 1)
      close(both)
    },
  },
  {
    name: 'SF-10, SF-11, SF-14, SF-17: a merge has each pending fence once, and none that has signalled',
    holds: async (world) => {
      const [first, second] = [await world.file(), await world.file()]
      const both = merge(first.file, second.file)
      const files = [merge(first.file, first.file), both, merge(both, first.file)]
      assert.deepEqual(
        files.map((file) => file.info().fences.length),
        [1, 2, 2],
      )
      await first.signal()
      const rest = merge(first.file, second.file)
      assert.equal(rest.info().fences.length, 1)
      await second.signal()
      const none = merge(first.file, second.file)
      assert.equal(none.info().fences.length, 1)
      const times = [first.file, second.file].map(({ fence }) => fence.timestamp)
      assert.equal(none.fence.timestamp, times[1])
      assert.ok((times[0] ?? 0n) <= (times[1] ?? 0n))
      close(...files, rest, none, first.file, second.file)
    },
  },
  {
    name: 'SF-12, SF-15: a pending fence has no time, a signalled one has that of its signal',
    holds: async (world) => {
      const { file, signal } = await world.file()
      assert.deepEqual(
        file.info().fences.map(({ status, timestamp }) => [status, timestamp]),
        [[0, 0n]],
      )
      const before = process.hrtime.bigint()
      await signal()
      const after = process.hrtime.bigint()
      // Looked at later than it signalled.
      await new Promise((resolve) => setTimeout(resolve, 5))
      const [info] = file.info().fences
      const time = info?.timestamp ?? 0n
      assert.equal(info?.status, 1)
      assert.ok(time >= before && time <= after, `${time} is not between ${before} and ${after}`)
      close(file)
    },
  },
  {
    name: 'SF-23: driver and timeline of a fence are told, and a file without a name is called after them',
    holds: async (world) => {
      const { file, signal } = await world.file()
      const { driverName, timelineName } = file.info().fences[0] ?? {}
      assert.ok(driverName !== undefined && timelineName !== undefined && driverName !== '')
      assert.ok(file.name.startsWith(`${driverName}-${timelineName}`), file.name)
      await signal()
      close(file)
    },
  },
]
