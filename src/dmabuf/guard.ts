import { type GuardOptions, setGuardPolicy } from '../memory/guard/guard-policy.ts'
import { liveBuffers } from './buffer-core.ts'

/**
 * Guarded mode, a sanitizer for bracketing, for all buffers of this environment, exported or held, those that are there
 * and those to come: outside brackets their memory is out of reach, in read brackets it is read-only. What the CPU touches all
 * the same is a {@link Violation}; the program goes on, and the buffer stays open until its next bracket or turn of the
 * event loop. Each worker thread has its own; DMABUF_GUARD=1 (or `throw`, `fatal`) turns it on from the first import.
 */
export function guard(options?: GuardOptions): void {
  const { mode } = setGuardPolicy(options)
  for (const core of liveBuffers()) core.mappings.guardBy(mode, core.begunBrackets)
}
