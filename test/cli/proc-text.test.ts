import fc from 'fast-check'
import { expect, test } from 'vitest'
import { groupBuffers, printable, type SeenProcess, size } from '../../src/cli/buffer-table.ts'
import { deviceName, parseLink, parseMaps, parseOpenFiles } from '../../src/cli/proc-text.ts'

const names = fc.string({ maxLength: 31, unit: 'grapheme' }).filter((name) => !/[\0\\]/.test(name))

test('a memfd of the library is told by its link, whatever its name', () => {
  fc.assert(
    fc.property(names, (name) => {
      expect(parseLink(`/memfd:dmabuf:${name} (deleted)`)).toEqual({ kind: 'memfd', name })
      expect(parseLink(`/dmabuf:${name}x`)).toEqual({ kind: 'dma-buf', name: `${name}x` })
    }),
  )
})

test('no other link is a buffer', () => {
  for (const link of [
    '/memfd:other (deleted)',
    '/memfd:dmabuf-state (deleted)',
    'pipe:[1]',
    '/tmp/dmabuf:x',
    '',
  ]) {
    expect(parseLink(link)).toBeUndefined()
  }
})

test('parsing never throws', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      parseLink(text)
      parseMaps(text)
      parseOpenFiles(text)
      printable(text)
    }),
  )
})

test('a line of maps comes back as it was written', () => {
  const words = fc.record({
    name: names,
    start: fc.bigInt(0n, 1n << 46n),
    pages: fc.bigInt(1n, 1n << 20n),
    offset: fc.integer({ min: 0, max: 2 ** 40 }),
    major: fc.integer({ min: 0, max: 4095 }),
    minor: fc.integer({ min: 0, max: 2 ** 20 - 1 }),
    inode: fc.bigInt(1n, 1n << 60n),
    pss: fc.option(fc.integer({ min: 0, max: 2 ** 30 })),
  })
  fc.assert(
    fc.property(fc.array(words, { maxLength: 5 }), (mappings) => {
      const lines = mappings.flatMap(({ name, start, pages, offset, major, minor, inode, pss }) => {
        const hex = (value: bigint | number) => value.toString(16)
        const path = `/memfd:dmabuf:${name.replaceAll('\n', '\\012')} (deleted)`
        const addresses = `${hex(start)}-${hex(start + pages * 4096n)}`
        const line = `${addresses} rw-s ${hex(offset).padStart(8, '0')} ${hex(major).padStart(2, '0')}:${hex(minor).padStart(2, '0')} ${inode}      ${path}`
        const other = '7f0000000000-7f0000001000 r-xp 00000000 08:01 12 /usr/lib/libc.so.6\nPss:  77 kB'
        return [line, 'Size:  4 kB', ...(pss === null ? [] : [`Pss:        ${pss} kB`]), other]
      })
      expect(parseMaps(lines.join('\n'))).toEqual(
        mappings.map(({ name, pages, offset, major, minor, inode, pss }) => ({
          kind: 'memfd',
          name,
          device: `${major}:${minor}`,
          inode: String(inode),
          offset,
          byteLength: Number(pages * 4096n),
          pss: pss === null ? undefined : pss * 1024,
        })),
      )
    }),
  )
})

test('st_dev and maps name a device alike', () => {
  const part = (max: number) => fc.integer({ min: 0, max })
  fc.assert(
    fc.property(part(2 ** 32 - 1), part(2 ** 32 - 1), (major, minor) => {
      const [high, low] = [BigInt(major), BigInt(minor)]
      const device =
        ((high & 0xfffn) << 8n) | ((high & ~0xfffn) << 32n) | (low & 0xffn) | ((low & ~0xffn) << 12n)
      expect(deviceName(device)).toBe(`${major}:${minor}`)
    }),
  )
})

test('a name reaches the terminal without anything that it obeys', () => {
  expect(printable('\u001b[2Jframe\n')).toBe('\\u001b[2Jframe\\u000a')
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (name) => !/[\p{Cc}\p{Cf}]/u.test(printable(name))))
})

test('every descriptor and mapping is counted once, whatever the order', () => {
  const seen = fc.record({
    inode: fc.constantFrom('1', '2', '3'),
    byteLength: fc.integer({ min: 1, max: 9 }),
  })
  const some = fc.record({ pid: fc.nat(4), fds: fc.array(seen), maps: fc.array(seen) })
  fc.assert(
    fc.property(fc.uniqueArray(some, { selector: ({ pid }) => pid }), (drawn) => {
      const base = { kind: 'memfd', name: 'n', device: '0:1' } as const
      const processes: SeenProcess[] = drawn.map(({ pid, fds, maps }) => ({
        pid,
        comm: 'c',
        descriptors: fds.map((fd) => ({ ...base, ...fd })),
        mappings: maps.map((map) => ({ ...base, ...map, offset: 0, pss: map.byteLength })),
      }))
      const users = groupBuffers(processes).flatMap((row) => row.users)
      const sum = (of: (user: (typeof users)[number]) => number) =>
        users.reduce((total, user) => total + of(user), 0)
      expect(sum(({ descriptors }) => descriptors)).toBe(drawn.flatMap(({ fds }) => fds).length)
      expect(sum(({ mappings }) => mappings)).toBe(drawn.flatMap(({ maps }) => maps).length)
      const pss = drawn.flatMap(({ maps }) => maps).reduce((total, { byteLength }) => total + byteLength, 0)
      expect(sum((user) => user.pss ?? 0)).toBe(pss)
    }),
  )
})

test('limits and sizes are read and written', () => {
  expect(
    parseOpenFiles('Max processes   1  2  x\nMax open files            1024   unlimited   files\n'),
  ).toEqual({
    soft: '1024',
    hard: 'unlimited',
  })
  expect([0, 1023, 1024, 33_177_600, 2 ** 40].map(size)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '31.6 MiB',
    '1.0 TiB',
  ])
})
