import { problem } from './errors.ts'

/** `expected X for Y but received Z`: the value as a person would write it, short. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value !== 'function' && (typeof value !== 'object' || value === null)) return String(value)
  try {
    return shownObject(value)
  } catch {
    // A revoked proxy, a getter that throws, a name that is no text.
    return `an unreadable ${typeof value}`
  }
}

function shownObject(value: object): string {
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (Array.isArray(value)) return `an array of ${value.length}`
  return `an object (${(value as { constructor?: { name?: string } }).constructor?.name ?? 'no class'})`
}

function expected(what: string, expectation: string, value: unknown): never {
  throw problem('argument', { what, expected: expectation, received: shown(value) })
}

/** An integer in [least, most]. */
export function integer(what: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most)
    return value
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  return expected(what, `an integer ${range}`, value)
}

/** As {@link integer}, for addresses and masks: a bigint in [least, most]. */
export function bigInteger(what: string, value: unknown, least: bigint, most: bigint): bigint {
  if (typeof value === 'bigint' && value >= least && value <= most) return value
  return expected(what, `a bigint from ${least}n to ${most}n`, value)
}

export function boolean(what: string, value: unknown): boolean {
  return typeof value === 'boolean' ? value : expected(what, 'a boolean', value)
}

export function oneOf<const Choice extends string>(
  what: string,
  value: unknown,
  choices: readonly Choice[],
): Choice {
  if (choices.includes(value as Choice)) return value as Choice
  return expected(what, choices.map((choice) => `'${choice}'`).join(' or '), value)
}

export function callable<F extends (...args: never[]) => unknown>(what: string, value: F): F {
  return typeof value === 'function' ? value : expected(what, 'a function', value)
}

/** A string of at most `maxBytes` bytes of UTF-8 without NUL. */
export function text(what: string, value: unknown, maxBytes: number): string {
  if (typeof value === 'string' && !value.includes('\0') && Buffer.byteLength(value) <= maxBytes) return value
  return expected(what, `a string of at most ${maxBytes} bytes without NUL`, value)
}

export function abortSignal(what: string, value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value
  return expected(what, 'an AbortSignal', value)
}

export function bytes(what: string, value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : expected(what, 'a Uint8Array', value)
}

/** An object that this library made. */
export function instance<T>(
  what: string,
  value: unknown,
  of: { new (...args: never[]): T; name: string },
): T {
  return value instanceof of ? value : expected(what, `a ${of.name}`, value)
}

/** An array; `each` checks an element and passes it on. */
export function list<T>(what: string, value: unknown, each: (what: string, element: unknown) => T): T[] {
  if (!Array.isArray(value)) return expected(what, 'an array', value)
  return Array.from(value, (element: unknown, i) => each(`${what}[${i}]`, element))
}

/** An options object whose every key is known: a misspelled option is an error. */
export function options<T extends object>(
  name: string,
  value: T | undefined,
  known: readonly (keyof T & string)[],
): Partial<T> {
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return expected(`the options of ${name}`, 'an object', value)
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key as keyof T & string)) {
      throw problem('option', { function: name, option: shown(key), known: known.join(', ') || 'none' })
    }
  }
  return value
}

/** A range inside `size` bytes; the length defaults to the rest. */
export function range(
  what: string,
  size: number,
  offset: number | undefined,
  length: number | undefined,
): { offset: number; length: number } {
  const start = integer(`${what} offset`, offset ?? 0, 0, size)
  return { offset: start, length: integer(`${what} length`, length ?? size - start, 0, size - start) }
}
