import { problem } from '../internal/errors.ts'

/** What a message can be: JSON, with bytes in it. A `Uint8Array` (or Buffer) arrives as a `Uint8Array`. */
export type JsonLike =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly JsonLike[]
  | { readonly [key: string]: JsonLike | undefined }

/**
 * Bytes travel beside the JSON, which refers to them by `{"$bytes": index}`. A key of the user's that begins with
 * `$` is written with one `$` more, so that nothing of the user's can be taken for a reference.
 */
const REFERENCE = '$bytes'

export interface EncodedMessage {
  readonly json: string
  /** The bytes referred to; borrowed, not copied. */
  readonly parts: readonly Uint8Array[]
  /** Whether the JSON holds references or escaped keys. */
  readonly encoded: boolean
}

const noParts: readonly Uint8Array[] = []

export function encodeMessage(message: JsonLike | undefined): EncodedMessage {
  try {
    if (!needsEncoding(message)) return { json: stringify(message ?? null), parts: noParts, encoded: false }
    const parts: Uint8Array[] = []
    return { json: stringify(encodeValue(message, parts)), parts, encoded: true }
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw problem('message', { why: error.message.split('\n')[0] ?? '' }, { cause: error })
    }
    throw error
  }
}

function stringify(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined
  if (json === undefined) throw new TypeError(`a ${typeof value} has no JSON form`)
  return json
}

function needsEncoding(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return true
  if (Array.isArray(value)) return value.some(needsEncoding)
  for (const key in value) {
    if (key.charCodeAt(0) === 36 || needsEncoding((value as Record<string, unknown>)[key])) return true
  }
  return false
}

function encodeValue(value: unknown, parts: Uint8Array[]): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return { [REFERENCE]: parts.push(value) - 1 }
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw new TypeError('bytes in a message are Uint8Arrays; wrap other views in one')
  }
  if (Array.isArray(value)) return value.map((item) => encodeValue(item, parts))
  const { toJSON } = value as { toJSON?: unknown }
  // Called here, so that what it gives is escaped too.
  if (typeof toJSON === 'function') return encodeValue(toJSON.call(value, ''), parts)
  const encoded: Record<string, unknown> = Object.create(null)
  for (const [key, item] of Object.entries(value)) {
    encoded[key.startsWith('$') ? `$${key}` : key] = encodeValue(item, parts)
  }
  return encoded
}

/** The message back from its JSON; `part` gives private bytes by index. Returns what is wrong as an Error thrown. */
export function decodeMessage(json: string, part: ((index: number) => Uint8Array) | undefined): JsonLike {
  const value = JSON.parse(json) as JsonLike
  return part === undefined ? value : decodeValue(value, part)
}

function decodeValue(value: JsonLike, part: (index: number) => Uint8Array): JsonLike {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item: JsonLike) => decodeValue(item, part))
  const entries = Object.entries(value as Record<string, JsonLike>)
  if (entries.length === 1 && entries[0]?.[0] === REFERENCE) {
    const index = entries[0][1]
    // Anything else would find what an array inherits: `{"$bytes": "map"}` would be a function.
    if (!Number.isSafeInteger(index)) throw new Error(`a part called ${JSON.stringify(index)}`)
    return part(index as number)
  }
  const decoded: Record<string, JsonLike> = {}
  for (const [key, item] of entries) {
    // Defined, not assigned: a hostile "__proto__" becomes a plain property, as JSON.parse has it.
    Object.defineProperty(decoded, key.startsWith('$$') ? key.slice(1) : key, {
      value: decodeValue(item, part),
      writable: true,
      enumerable: true,
      configurable: true,
    })
  }
  return decoded
}
