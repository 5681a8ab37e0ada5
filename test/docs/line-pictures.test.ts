import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PlainLines } from '../../src/memory/cache/lines.ts'
import { LINE, type PlainBuffer, plainBuffer } from '../cache/memory.ts'
import { root } from './samples.ts'

const SIZE = 2 * LINE
const HALF = LINE / 2

/** A line of the cache or of memory, as a picture draws it: `dirty 7 9`, `clean 7 7`, `absent`, `memory 0 0`. */
type Drawn = string

/** What the model has: for both lines, the cache and the memory below it. */
function shown({ memory, bytes }: PlainBuffer): Drawn[] {
  const lines = new PlainLines(memory)
  return [0, 1].flatMap((line) => {
    const halves = [line * LINE, line * LINE + HALF]
    const state = lines.isDirty(line) ? 'dirty' : lines.isPresent(line) ? 'clean' : 'absent'
    const cached = state === 'absent' ? [] : halves.map((offset) => bytes[offset])
    return [
      [state, ...cached].join(' '),
      ['memory', ...halves.map((offset) => memory.memory[offset])].join(' '),
    ]
  })
}

/** What a moment of a picture shows. */
function drawn(picture: string, moment: string): Drawn[] {
  const svg = readFileSync(join(root, 'docs/pictures', picture), 'utf8')
  const group = svg.match(new RegExp(`<g id="${moment}">(.*?)</g>`, 's'))?.[1] ?? ''
  return Array.from(group.matchAll(/<rect [^>]*class="(\w+)"[^<]*((?:<(?!rect).*\n\s*)*)/g), (box) => {
    const values = box[2]?.matchAll(/font-size="14"[^>]*>(\w+)</g) ?? []
    return [box[1], ...Array.from(values, ([, value]) => value)].join(' ')
  })
}

type Step = (buffer: PlainBuffer) => void

const strips: readonly (readonly [picture: string, strip: string, steps: readonly Step[]])[] = [
  [
    'brackets.svg',
    'write',
    [
      ({ model }) => model.begin('write', 0, SIZE),
      (buffer) => {
        buffer.bytes.fill(7)
        expect(buffer.dmaRead(0, 1)).toEqual([0])
      },
      ({ model }) => model.end('write', 0, SIZE),
      (buffer) => expect(buffer.dmaRead(0, 1)).toEqual([7]),
    ],
  ],
  [
    'brackets.svg',
    'read',
    [
      ({ model }) => {
        model.begin('read', 0, SIZE)
        model.end('read', 0, SIZE)
      },
      (buffer) => buffer.dmaWrite(0, SIZE, 7),
      ({ model }) => model.begin('read', 0, SIZE),
      ({ model }) => model.end('read', 0, SIZE),
    ],
  ],
  [
    'brackets.svg',
    'edge',
    [({ bytes }) => bytes.fill(3, 3 * HALF), ({ model }) => model.begin('read', 0, 3 * HALF)],
  ],
  [
    'mistakes.svg',
    'late',
    [
      ({ model, bytes }) => {
        model.begin('write', 0, SIZE)
        bytes.fill(7)
        model.end('write', 0, SIZE)
      },
      (buffer) => {
        buffer.bytes.fill(9, 3 * HALF)
        expect(buffer.dmaRead(3 * HALF, 1)).toEqual([7])
      },
      ({ model }) => model.begin('read', 0, SIZE),
    ],
  ],
  [
    'mistakes.svg',
    'shared',
    [
      ({ model }) => model.begin('read-write', 0, 4),
      (buffer) => buffer.dmaWrite(HALF, 3 * HALF, 7),
      ({ bytes }) => bytes.fill(1, 0, HALF),
      ({ model }) => model.end('read-write', 0, 4),
    ],
  ],
  [
    'mistakes.svg',
    'prefetch',
    [
      () => {},
      ({ model }) => {
        const range = { first: 1, last: 2 }
        model.schedule = { at: () => ({ action: 'prefetch', range, takes: () => true }) }
        model.tick()
        model.schedule = undefined
      },
      (buffer) => buffer.dmaWrite(0, SIZE, 7),
      ({ model }) => model.begin('read', 0, SIZE, { skipInvalidate: true }),
    ],
  ],
]

test.each(strips)('%s draws what the model does: %s', (picture, strip, steps) => {
  const buffer = plainBuffer(SIZE)
  buffer.model.map('bidirectional', false)
  for (const [index, step] of steps.entries()) {
    step(buffer)
    expect([index, ...drawn(picture, `${strip}-${index + 1}`)]).toEqual([index, ...shown(buffer)])
  }
})

test('brackets.svg draws what a begin on all of the lines does instead', () => {
  const buffer = plainBuffer(SIZE)
  buffer.model.map('bidirectional', false)
  buffer.bytes.fill(3, 3 * HALF)
  buffer.model.begin('read', 0, SIZE)
  expect(drawn('brackets.svg', 'edge-3')).toEqual(shown(buffer))
})
