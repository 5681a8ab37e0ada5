import { fstatSync, ftruncateSync } from 'node:fs'
import { expect, test } from 'vitest'
import { charge, memoryBudget } from '../../src/memory/budget.ts'
import { createMemfd } from '../../src/memory/memfd.ts'
import {
  createMovedStorage,
  dropMovedStorage,
  fillMovedStorage,
  type MovedStorage,
  populateMovedStorage,
  prepareMovedStorage,
  retireStorage,
} from '../../src/memory/moved-storage.ts'
import { READ_ONLY_SEALS, UNDECIDED_SEALS, WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { MapKind, type Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'

useCensus()

function mapped(fd: number, byteLength: number, kind: MapKind = MapKind.shared): Mapping {
  const mapping = addon().map(fd, 0, byteLength, kind)
  if (typeof mapping === 'number') throw new Error(`map: ${mapping}`)
  return mapping
}

function bytesOf(mapping: Mapping): Uint8Array {
  const view = mapping.view()
  if (typeof view === 'number') throw new Error(`view: ${view}`)
  return new Uint8Array(view)
}

const seals = {
  writable: WRITABLE_SEALS,
  'read-only': READ_ONLY_SEALS,
  undecided: UNDECIDED_SEALS,
} as const
type Kind = keyof typeof seals

/** Storage to be moved, whose bytes tell their place. */
function oldStorage(byteLength: number) {
  const fd = createMemfd('old', byteLength)
  const from = mapped(fd, byteLength)
  const bytes = bytesOf(from)
  for (let i = 0; i < bytes.length; i++) bytes[i] = i % 251
  return {
    fd,
    from,
    bytes,
    [Symbol.dispose]() {
      from.close()
      addon().close(fd)
    },
  }
}

function held({ fd }: MovedStorage): number {
  return fstatSync(fd).blocks * 512
}

const makers = { fresh: createMovedStorage, prepared: prepareMovedStorage }
const sizes = [1, 4096, 10_001, 3 << 20]

for (const sharing of Object.keys(seals) as Kind[]) {
  for (const [kind, make] of Object.entries(makers)) {
    test(`${kind} ${sharing} storage is sealed before it is filled, and has every page afterwards`, () => {
      for (const size of sizes) {
        using source = oldStorage(size)
        const moved = make('x', size, sharing)
        const whole = Math.ceil(size / 4096) * 4096
        expect([fstatSync(moved.fd).size, held(moved)]).toEqual([whole, kind === 'fresh' ? 0 : whole])
        expect(addon().getSeals(moved.fd) & 0x1f).toBe(seals[sharing])
        fillMovedStorage(source.from, moved, 'x')
        expect(held(moved)).toBe(whole)
        const copy = mapped(moved.fd, size, MapKind.sharedReadOnly)
        expect(Buffer.compare(bytesOf(copy), source.bytes)).toBe(0)
        copy.close()
        dropMovedStorage(moved)
      }
    })
  }

  test(`a view that was held before shows the ${sharing} storage that its mapping takes over`, () => {
    using source = oldStorage(1 << 20)
    const moved = prepareMovedStorage('x', 1 << 20, sharing)
    fillMovedStorage(source.from, moved, 'x')
    expect(source.from.takeOver(moved.mapping!)).toBe(0)
    source.bytes[5] = 77
    const other = mapped(moved.fd, 1 << 20, MapKind.sharedReadOnly)
    expect([...bytesOf(other).subarray(4, 7)]).toEqual([4, 77, 6])
    other.close()
    dropMovedStorage(moved)
  })
}

test('storage can be filled by others once its pages are taken', () => {
  const moved = createMovedStorage('x', 10_000, 'writable')
  populateMovedStorage(moved, 10_000)
  expect(held(moved)).toBe(12_288)
  dropMovedStorage(moved)
})

test('storage that was truncated is not copied', () => {
  for (const make of Object.values(makers)) {
    using source = oldStorage(1 << 16)
    ftruncateSync(source.fd, 4096)
    const moved = make('x', 1 << 16, 'read-only')
    expect(() => fillMovedStorage(source.from, moved, 'frame')).toThrow(
      expect.objectContaining({
        code: 'ENODEV',
        message: expect.stringContaining('buffer frame was truncated'),
      }),
    )
    dropMovedStorage(moved)
  }
})

test('more than there can be is an error, and nothing is left of the try', () => {
  for (const make of Object.values(makers)) {
    expect(() => make('x', 2 ** 50, 'writable')).toThrow(expect.objectContaining({ code: 'EDQUOT' }))
  }
})

test('storage that a move has left is closed a turn later, or with the next one that is left', async () => {
  const { used } = memoryBudget()
  const left = [1, 2].map(() => createMemfd('left', 4096))
  for (const fd of left) {
    charge(4096)
    retireStorage({ fd, charged: 4096 })
  }
  expect(left.map((fd) => addon().getSeals(fd) >= 0)).toEqual([false, true])
  expect(memoryBudget().used).toBe(used + 4096)
  await new Promise(setImmediate)
  expect(addon().getSeals(left[1]!)).toBeLessThan(0)
  expect(memoryBudget().used).toBe(used)

  // The budget is for what is in use: new storage does not stand in line behind the old.
  const fd = createMemfd('left', 4096)
  charge(4096)
  retireStorage({ fd, charged: 4096 })
  dropMovedStorage(createMovedStorage('x', 4096, 'writable'))
  expect(memoryBudget().used).toBe(used)
})
