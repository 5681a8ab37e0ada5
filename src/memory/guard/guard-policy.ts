import { boolean, oneOf, options } from '../../internal/validate.ts'
import type { GuardMode } from './violation.ts'

/** How guarded mode is to be: for the buffers of this environment that say nothing of their own. */
export interface GuardOptions {
  /** What becomes of a violation; `'off'` guards no buffer any more. Default `'report'`. */
  readonly mode?: GuardMode | 'off'
  /** Whether the violations are listed on stderr when the environment ends; default true. */
  readonly report?: boolean
  /** Whether begins and ends remember where they were called, a few microseconds each; default true. */
  readonly stacks?: boolean
}

const names = ['mode', 'report', 'stacks'] as const
const modes: readonly (GuardMode | 'off')[] = ['report', 'throw', 'fatal', 'off']

/** How buffers of this environment are guarded that say nothing of their own. */
export interface GuardPolicy {
  readonly mode: GuardMode | 'off'
  readonly report: boolean
  readonly stacks: boolean
}

let policy: GuardPolicy = { mode: fromEnvironment(process.env['DMABUF_GUARD']), report: true, stacks: true }

export function guardPolicy(): GuardPolicy {
  return policy
}

/** Checks the options and makes them the policy from now on. */
export function setGuardPolicy(guardOptions: GuardOptions | undefined): GuardPolicy {
  const opts = options('guard', guardOptions, names)
  policy = {
    mode: checkMode(opts.mode ?? 'report'),
    report: boolean('report', opts.report ?? true),
    stacks: boolean('stacks', opts.stacks ?? true),
  }
  return policy
}

export function checkMode(mode: unknown): GuardMode | 'off' {
  return oneOf('mode', mode, modes)
}

/** DMABUF_GUARD=1, or a mode by its name. */
export function fromEnvironment(value: string | undefined): GuardMode | 'off' {
  if (value === undefined || value === '' || value === '0') return 'off'
  if (value === '1') return 'report'
  const mode = modes.find((each) => each === value)
  if (mode !== undefined) return mode
  // An import must not throw, and a guard that was asked for must not be missing in silence.
  process.emitWarning(`DMABUF_GUARD=${value} is none of 0, 1, ${modes.join(', ')}; taken for 1`, {
    code: 'DMABUF_GUARD',
  })
  return 'report'
}
