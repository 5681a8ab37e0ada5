import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeMessage, encodeMessage, type JsonLike } from '../../src/transport/message-json.ts'
import { codeNow } from '../support/fails.ts'

function roundTrip(message: JsonLike): JsonLike {
  const { json, parts, encoded } = encodeMessage(message)
  return decodeMessage(json, encoded ? partOf(parts) : undefined)
}

function partOf(parts: readonly Uint8Array[]): (index: number) => Uint8Array {
  return (index) => {
    const part = parts[index]
    if (part === undefined) throw new Error(`part ${index} that is not there`)
    return part
  }
}

/** What JSON itself makes of a value: no -0, no undefined. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as JsonLike

const keys = fc.oneof(
  fc.string(),
  fc.constantFrom('$', '$bytes', '$$bytes', '$$$', '__proto__', 'constructor', 'toString', 'length', ''),
)

const { message: messages } = fc.letrec<{ message: JsonLike }>((tie) => ({
  message: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    fc.jsonValue({ maxDepth: 2 }).map((value) => plain(value)),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie('message'), { maxLength: 4 }),
    fc.array(fc.tuple(keys, tie('message')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
  ),
}))

test('every message comes back as it was sent', () => {
  fc.assert(
    fc.property(messages, (message) => {
      expect(roundTrip(message)).toEqual(message)
    }),
    { numRuns: 1000 },
  )
})

test('an object that looks like a reference stays an object', () => {
  for (const message of [
    { $bytes: 0 },
    { $$bytes: 0 },
    { $bytes: { $bytes: 1 } },
    [{ $bytes: 0 }, { a: 1 }],
  ]) {
    expect(roundTrip(message)).toEqual(message)
    expect(roundTrip([message, new Uint8Array([7])])).toEqual([message, new Uint8Array([7])])
  }
})

test('a key called __proto__ arrives as a property and changes no prototype', () => {
  const message = JSON.parse('{"__proto__": {"polluted": true}, "bytes": null}') as Record<string, JsonLike>
  for (const sent of [message, { ...message, bytes: new Uint8Array(1), inner: message }]) {
    const received = roundTrip(Object.assign(Object.create(null) as Record<string, JsonLike>, sent)) as object
    expect(Object.getPrototypeOf(received)).toBe(Object.prototype)
    expect('polluted' in received).toBe(false)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  }
  expect(Object.hasOwn(roundTrip({ a: message }) as object, 'a')).toBe(true)
  const both = roundTrip([message, new Uint8Array(1)]) as [object]
  expect(Object.keys(both[0])).toContain('__proto__')
})

test('what toJSON gives is escaped like everything else', () => {
  const dated = { at: new Date(0) as unknown as JsonLike, bytes: new Uint8Array([1]) }
  expect(roundTrip(dated)).toEqual({ at: '1970-01-01T00:00:00.000Z', bytes: new Uint8Array([1]) })
  const tricky = { toJSON: () => ({ $bytes: 0 }) } as unknown as JsonLike
  expect(roundTrip(tricky)).toEqual({ $bytes: 0 })
  expect(roundTrip([tricky, new Uint8Array([1])])).toEqual([{ $bytes: 0 }, new Uint8Array([1])])
})

test('what is no JSON is refused with EINVAL', () => {
  const cyclic: JsonLike[] = []
  cyclic.push(cyclic)
  const refused: unknown[] = [
    10n,
    { deep: [10n] },
    () => {},
    Symbol('s'),
    cyclic,
    new Uint16Array(2),
    [new DataView(new ArrayBuffer(1))],
    { buffer: new ArrayBuffer(1) },
  ]
  for (const value of refused) expect(codeNow(() => encodeMessage(value as JsonLike))).toBe('EINVAL')
})

test('nesting beyond the stack is refused with EINVAL and nothing else happens', () => {
  let deep: JsonLike = new Uint8Array(1)
  for (let level = 0; level < 200_000; level++) deep = [deep]
  expect(codeNow(() => encodeMessage(deep))).toBe('EINVAL')
})

test('any text decodes to data or throws: never to something that is no data', () => {
  const parts = [new Uint8Array([1]), new Uint8Array([2, 3])]
  const references = fc.oneof(
    fc.integer(),
    fc.double(),
    keys,
    fc.constant(null),
    fc.constant([0]),
    fc.constant({}),
  )
  const texts = fc.oneof(
    fc.json(),
    fc.string(),
    references.map((reference) => JSON.stringify({ a: [{ $bytes: reference }] })),
  )
  fc.assert(
    fc.property(texts, (json) => {
      let value: JsonLike
      try {
        value = decodeMessage(json, partOf(parts))
      } catch {
        return
      }
      expect(isData(value)).toBe(true)
    }),
    { numRuns: 2000 },
  )
})

test('a reference is a number of a part: names of array methods are none', () => {
  for (const reference of ['length', 'map', 'constructor', '0', [0], null, 0.5, -1]) {
    expect(() => decodeMessage(JSON.stringify({ $bytes: reference }), partOf([new Uint8Array(1)]))).toThrow()
  }
})

function isData(value: unknown): boolean {
  if (value === null || ['boolean', 'number', 'string'].includes(typeof value)) return true
  if (value instanceof Uint8Array) return true
  if (Array.isArray(value)) return value.every(isData)
  return typeof value === 'object' && Object.values(value as object).every(isData)
}
