import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { type ProblemName, problems } from './problems.ts'

type NamedValue<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | NamedValue<Rest>
  : never

type Value = string | number | bigint | boolean

/** The values that the text of a problem names. */
export type ProblemValues<Name extends ProblemName> = Record<
  NamedValue<(typeof problems)[Name]['text']>,
  Value
>

export interface DmaBufErrorInit {
  readonly code: string
  readonly message: string
  readonly hint?: string | undefined
  /** Negative, as in Node's own errors; found from `code` when left out. */
  readonly errno?: number | undefined
  readonly syscall?: string | undefined
  readonly cause?: unknown
  readonly rule?: string | undefined
  readonly needed?: string | undefined
  readonly got?: string | undefined
}

/**
 * The error that everything here throws or rejects with, in the shape of Node's own system errors. The errno is
 * the kernel's for the same mistake; `ERR_DMABUF_*` codes stand only for what has no errno.
 */
export class DmaBufError extends Error {
  /** `'AbortError'` for an aborted call, as programs ask for it; else `'DmaBufError'`. */
  override readonly name: string
  /** `'EINVAL'`, `'EBADF'`, …; for an aborted call `'ABORT_ERR'`, as Node has it. */
  readonly code: string
  /** Negative errno, or `undefined` where there is none. */
  readonly errno: number | undefined
  /** The system call that failed, when one did. */
  readonly syscall: string | undefined
  /** What would be right. */
  readonly hint: string | undefined
  /**
   * Where memory does not suit a device: which of its rules is broken (`'contiguous'`, `'segment-size'`, `'segment-count'`,
   * `'boundary'`, `'address-range'`, `'size'`, `'stride'`, `'modifier'`), what that asks for, and what was there.
   */
  readonly rule: string | undefined
  readonly needed: string | undefined
  readonly got: string | undefined

  constructor(init: DmaBufErrorInit) {
    super(init.message, 'cause' in init ? { cause: init.cause } : undefined)
    this.name = init.code === 'ABORT_ERR' ? 'AbortError' : 'DmaBufError'
    this.code = init.code
    this.errno = init.errno ?? errnoOf(init.code)
    this.syscall = init.syscall
    this.hint = init.hint
    this.rule = init.rule
    this.needed = init.needed
    this.got = init.got
  }
}

export interface ProblemContext {
  /** A negative errno: decides the code of problems whose code is `errno`. */
  readonly result?: number
  readonly syscall?: string
  readonly cause?: unknown
  /** The rule of a device that is broken. */
  readonly refusal?: { readonly rule: string; readonly needed: string; readonly got: string }
}

/** Makes the error of a problem; the caller throws or rejects with it. */
export function problem<Name extends ProblemName>(
  name: Name,
  values: ProblemValues<Name>,
  context: ProblemContext = {},
): DmaBufError {
  const { code: fixed, text, remedy } = problems[name]
  const code = fixed === 'errno' ? codeOf(context.result ?? 0) : fixed
  const filled = text.replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = String((values as Record<string, Value>)[key])
    // Most buffers have no name, and the sentence must still be one.
    return value === '' ? '(unnamed)' : value
  })
  const { result, syscall } = context
  return new DmaBufError({
    code,
    message: `${code}: ${filled}${syscall === undefined ? '' : `, ${syscall}`}`,
    hint: remedy,
    errno: fixed === 'errno' ? result : undefined,
    syscall,
    ...('cause' in context ? { cause: context.cause } : {}),
    ...context.refusal,
  })
}

/** Passes a result >= 0 on; throws the kernel's error for a negative one. */
export function checked(result: number, syscall: string, what: string): number {
  if (result < 0) throw systemError(result, syscall, what)
  return result
}

/** The error for a negative errno. */
export function systemError(result: number, syscall: string, what: string): DmaBufError {
  const full = result === -errno.EMFILE || result === -errno.ENFILE
  return problem(full ? 'descriptors' : 'system', { what }, { result, syscall })
}

/** Positive errno numbers of this platform. */
export const errno = constants.errno

function errnoOf(code: string): number | undefined {
  const number = (constants.errno as Record<string, number | undefined>)[code] ?? extraErrno[code]
  return number === undefined ? undefined : -number
}

function codeOf(result: number): string {
  try {
    const name = getSystemErrorName(result)
    if (!name.startsWith('Unknown')) return name
  } catch {
    // Not a number that libuv knows: fall through to the few it lacks.
  }
  for (const [name, number] of Object.entries(extraErrno)) if (number === -result) return name
  return `errno ${-result}`
}

/** Linux numbers that neither `os.constants` nor libuv has by name on every supported Node. */
const extraErrno: Readonly<Record<string, number>> = {
  EOWNERDEAD: 130,
  ETOOMANYREFS: 109,
  EREMOTEIO: 121,
  EDQUOT: 122,
}
