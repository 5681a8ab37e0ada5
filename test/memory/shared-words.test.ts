import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MappedWords } from '../../src/memory/mapped-words.ts'
import { ArrayWords, clearWords, type SharedWords } from '../../src/memory/shared-words.ts'
import { MapKind, type Mapping } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'
import { useCensus } from '../support/census.ts'
import { contents, memfd, withFd } from '../support/descriptor.ts'

useCensus()

const WORDS = 8
const word = fc.constantFrom(0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff)
const steps = fc.array(
  fc.record({
    do: fc.constantFrom('get', 'set', 'load', 'store', 'add', 'or', 'count', 'lower', 'clear'),
    at: fc.nat(WORDS - 1),
    value: word,
  }),
)

type Step = typeof steps extends fc.Arbitrary<(infer S)[]> ? S : never

function perform(words: SharedWords, step: Step): number | undefined {
  const { at, value } = step
  switch (step.do) {
    case 'get':
      return words.get(at)
    case 'load':
      return words.load(at)
    case 'add':
      return words.add(at, value)
    case 'count':
      return words.count(at, value === 0 ? 0 : 1)
    case 'lower':
      return words.add(at, -1)
    case 'clear':
      clearWords(words, at, WORDS)
      return undefined
    default:
      words[step.do](at, value)
      return undefined
  }
}

test('words of a mapping are what words of an array are, whatever is done to them', async () => {
  await withFd(memfd(4 * WORDS), (fd) => {
    const mapping = addon().map(fd, 0, 4 * WORDS, MapKind.shared) as Mapping
    fc.assert(
      fc.property(steps, (program) => {
        addon().copyIn(mapping, 0, new Uint8Array(4 * WORDS))
        const array = new Uint32Array(WORDS)
        const [plain, mapped] = [new ArrayWords(array), new MappedWords(mapping)]
        for (const step of program) expect(perform(mapped, step)).toBe(perform(plain, step))
        expect(contents(mapping)).toEqual(new Uint8Array(array.buffer))
      }),
    )
    mapping.close()
  })
})

test('a word that is not there is 0 to get, and nothing to the others', async () => {
  await withFd(memfd(4 * WORDS), (fd) => {
    const mapping = addon().map(fd, 0, 4 * WORDS, MapKind.shared) as Mapping
    const words = new MappedWords(mapping)
    words.set(0, 5)
    for (const index of [WORDS, 2 ** 36, -1]) expect(words.get(index)).toBe(0)
    expect(() => words.load(WORDS)).toThrow('EINVAL')
    mapping.close()
    expect(words.get(0)).toBe(0)
    words.set(0, 1)
    expect(() => words.add(0, 1)).toThrow('EBADF')
  })
})
