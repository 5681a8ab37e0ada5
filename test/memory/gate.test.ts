import fc from 'fast-check'
import { expect, test } from 'vitest'
import { identityKey, inspect, sameFile } from '../../src/memory/facts.ts'
import { admitLeash, admitSegment, admitStorage, checkRange } from '../../src/memory/gate.ts'
import { createMemfd, storageBytes } from '../../src/memory/memfd.ts'
import { READ_ONLY_SEALS, Seal, WRITABLE_SEALS } from '../../src/memory/seals.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { memfd, withFd } from '../support/descriptor.ts'
import { codeNow } from '../support/fails.ts'

useCensus()

test('every set of seals is either fixed for good or unsealed', async () => {
  for (let seals = 0; seals < 0x20; seals++) {
    await withFd(memfd(4096, seals), (fd) => {
      const admitted = admitStorage(fd)
      if (typeof admitted === 'string') throw new Error(admitted)
      const has = (wanted: number) => (seals & wanted) === wanted
      const fixed = has(WRITABLE_SEALS) || has(READ_ONLY_SEALS) || has(Seal.shrink | Seal.grow | Seal.write)
      expect([seals, admitted.kind]).toEqual([seals, fixed ? 'memfd' : 'unsealed'])
      expect(admitted.facts.size).toBe(4096)
    })
  }
})

test('storage is whole pages, and a range is inside the file or an error, whatever the numbers', () => {
  const number = fc.oneof(fc.nat(10_000), fc.maxSafeNat())
  fc.assert(
    fc.property(number, number, number, (size, offset, length) => {
      const fits = BigInt(offset) + BigInt(length) <= BigInt(size)
      if (fits) checkRange(3, size, offset, length)
      else expect(codeNow(() => checkRange(3, size, offset, length))).toBe('EINVAL')
      const pages = storageBytes(size)
      expect(pages % addon().pageSize).toBe(0)
      expect(pages >= size && pages - size < addon().pageSize).toBe(true)
    }),
  )
})

test('a memfd that cannot be made leaves no descriptor', () => {
  expect(codeNow(() => createMemfd('x'.repeat(300), 4096))).toBe('EINVAL')
})

test('a segment is sealed anonymous memory of exactly its size', async () => {
  const sealed = READ_ONLY_SEALS | Seal.seal
  await withFd(memfd(65_536, sealed), (fd) =>
    expect(admitSegment(fd, 65_536)).toMatchObject({ size: 65_536 }),
  )
  await withFd(memfd(65_536, sealed), (fd) =>
    expect(admitSegment(fd, 65_535)).toContain('65536 bytes instead of'),
  )
  await withFd(memfd(65_536, WRITABLE_SEALS), (fd) =>
    expect(admitSegment(fd, 65_536)).toContain('not sealed'),
  )
  await withFd(addon().socket(), (fd) => expect(admitSegment(fd, 65_536)).toContain('not sealed'))
  expect(admitSegment(2 ** 30, 65_536)).toContain('not open')
})

test('a leash is the writing end of a pipe and nothing else', async () => {
  expect(addon().pipe()).toBe(0)
  const [reader = -1, writer = -1] = addon().scratch.descriptors
  await withFd(writer, () =>
    withFd(reader, () => {
      expect(admitLeash(writer)).toBe(true)
      expect(admitLeash(reader)).toContain('not a writing end')
    }),
  )
  await withFd(addon().open('/dev/null', 1, 0), (fd) => expect(admitLeash(fd)).toContain('not a pipe'))
  await withFd(addon().socket(), (fd) => expect(admitLeash(fd)).toContain('a leash is not'))
  expect(admitLeash(2 ** 30)).toContain('not a pipe')
})

test('a file is itself by any descriptor, and no other', async () => {
  await withFd(memfd(4096), (one) =>
    withFd(memfd(4096), (other) =>
      withFd(addon().reopen(one, 0), (again) => {
        const [a, b, c] = [one, again, other].map((fd) => {
          const facts = inspect(fd)
          if (typeof facts === 'number') throw new Error(`inspect: ${facts}`)
          return facts
        })
        if (a === undefined || b === undefined || c === undefined) throw new Error('three were asked for')
        expect([sameFile(a, b), sameFile(a, c)]).toEqual([true, false])
        expect([identityKey(a) === identityKey(b), identityKey(a) === identityKey(c)]).toEqual([true, false])
      }),
    ),
  )
})
