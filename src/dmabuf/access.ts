import { boolean, oneOf } from '../internal/validate.ts'
import type { CacheHints } from '../memory/cache/maintenance.ts'

/** What the CPU is going to do inside a bracket. */
export type Access = 'read' | 'write' | 'read-write'

const choices: readonly Access[] = ['read', 'write', 'read-write']

export function checkAccess(value: unknown): Access {
  return oneOf('access', value, choices)
}

/** What a bracket is about, and what it may leave out. */
export interface AccessOptions {
  /** First byte of the range; 0. */
  readonly offset?: number
  /** Bytes of the range; the rest of the buffer. */
  readonly length?: number
  /** Throw `EOWNERDEAD` when a writer died inside its bracket, instead of saying so in `cpu.interrupted`. */
  readonly strict?: boolean
  /** Ends the waiting for fences. */
  readonly signal?: AbortSignal
  /**
   * Of a non-coherent buffer: nothing was stored that a device has to see (`end` cleans nothing), as
   * V4L2_BUF_FLAG_NO_CACHE_CLEAN says.
   */
  readonly skipClean?: boolean
  /** No device has written since the last bracket (nothing is invalidated): V4L2_BUF_FLAG_NO_CACHE_INVALIDATE. */
  readonly skipInvalidate?: boolean
}

const hintOptions = ['skipClean', 'skipInvalidate'] as const
export const accessOptions = ['offset', 'length', 'strict', 'signal', ...hintOptions] as const

/** What is skipped when nothing is said: nothing. */
export const noHints: CacheHints = Object.freeze({})

/** The hints among options, checked. */
export function checkHints(opts: CacheHints): CacheHints {
  const { skipClean = false, skipInvalidate = false } = opts
  if (skipClean === false && skipInvalidate === false) return noHints
  return {
    skipClean: boolean('skipClean', skipClean),
    skipInvalidate: boolean('skipInvalidate', skipInvalidate),
  }
}
