import { oneOf } from '../internal/validate.ts'

/** What the CPU is going to do inside a bracket. */
export type Access = 'read' | 'write' | 'read-write'

const choices: readonly Access[] = ['read', 'write', 'read-write']

export function checkAccess(value: unknown): Access {
  return oneOf('access', value, choices)
}

export interface AccessOptions {
  /** First byte of the range; 0. */
  readonly offset?: number
  /** Bytes of the range; the rest of the buffer. */
  readonly length?: number
  /** Throw `EOWNERDEAD` when a writer died inside its bracket, instead of saying so in `cpu.interrupted`. */
  readonly strict?: boolean
  /** Ends the waiting for fences. */
  readonly signal?: AbortSignal
}

export const accessOptions = ['offset', 'length', 'strict', 'signal'] as const
