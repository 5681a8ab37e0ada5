import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { problem } from '../internal/errors.ts'
import { integer } from '../internal/validate.ts'

let budget: number | undefined
let used = 0

/**
 * Bounds the bytes of shared memory that this environment may have allocated at one time, those included that
 * wait for the garbage collector or for a holder elsewhere. Default: three quarters of the memory of the machine
 * or of the container (cgroup), whichever is less. Running into a container's limit is a kill, not an error.
 */
export function setMemoryBudget(bytes: number): void {
  budget = integer('bytes', bytes, 0)
}

/** The budget and what of it is in use, in bytes. */
export function memoryBudget(): { budget: number; used: number } {
  budget ??= Math.floor(availableMemory() * 0.75)
  return { budget, used }
}

/** Takes bytes from the budget or throws `EDQUOT`; given back by {@link refund}. */
export function charge(bytes: number): void {
  const { budget: limit } = memoryBudget()
  if (bytes > limit - used) throw problem('budget', { bytes, used, budget: limit })
  used += bytes
}

/** Takes back what was refunded a moment ago, whatever the budget is by now. */
export function unrefund(bytes: number): void {
  used += bytes
}

export function refund(bytes: number): void {
  used -= bytes
}

function availableMemory(): number {
  const limitFiles = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']
  let least = totalmem()
  for (const file of limitFiles) {
    try {
      // "max" is no number and leaves the least as it was.
      const limit = Number(readFileSync(file, 'utf8'))
      if (limit > 0 && limit < least) least = limit
    } catch {
      // This version of cgroups is not mounted here.
    }
  }
  return least
}
