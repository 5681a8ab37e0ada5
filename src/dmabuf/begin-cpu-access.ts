import { diagnostics } from '../internal/diagnostics.ts'
import { problem } from '../internal/errors.ts'
import { abortSignal, boolean, options, range } from '../internal/validate.ts'
import type { GuardedBracket } from '../memory/guard/buffer-guard.ts'
import { type Access, type AccessOptions, accessOptions, checkAccess, checkHints, noHints } from './access.ts'
import { countFault } from './bracket-faults.ts'
import type { BufferCore } from './buffer-core.ts'
import { CpuAccess } from './cpu-access.ts'
import { beginKernelSync, isKernelReady } from './kernel-sync.ts'
import { fitsView } from './map-storage.ts'
import type { Tether } from './tether.ts'
import { wholeView } from './views.ts'

/** `'wait'`: the caller can wait for fences; `'entered'`: it has, inside the bracket. */
export type BeginStep = 'try' | 'wait' | 'entered'

const none: AccessOptions = Object.freeze({})

/**
 * Begins CPU access. Undefined where the storage of a placed buffer has to be waited for; `'fenced'` where fences have to be: then the bracket
 * is open, and this is called again with `'entered'`.
 */
export function begin(
  core: BufferCore,
  tether: Tether,
  access: Access,
  accessOpts: AccessOptions = none,
  step: BeginStep,
): CpuAccess | 'fenced' | undefined {
  const writes = checkAccess(access) !== 'read'
  let offset = 0
  let length = core.storage.byteLength
  let strict = false
  let hints = noHints
  if (accessOpts !== none) {
    const opts = options('beginCpuAccess', accessOpts, accessOptions)
    ;({ offset, length } = range('access', length, opts.offset, opts.length))
    strict = boolean('strict', opts.strict ?? false)
    abortSignal('signal', opts.signal)
    hints = checkHints(opts)
  }
  if (writes && !core.storage.writable) throw problem('readOnly', { name: core.name, access })
  const { lease } = tether
  if (step === 'entered') lease.waits(writes, -1)
  else {
    core.mappings.guard?.check()
    if (!lease.enter(core, writes)) {
      if (core.isRevoked) throw problem('revoked', { name: core.name })
      return undefined
    }
  }
  let interrupted: boolean
  let guarded: GuardedBracket | undefined
  try {
    if (core.isRevoked) throw problem('revoked', { name: core.name })
    // Sealed memory cannot be truncated, so there is nothing to ask for.
    if (core.storage.kind !== 'memfd' && core.mappings.faulted)
      throw problem('truncated', { name: core.name })
    if (isFenced(core, access, step)) {
      if (step !== 'try') return 'fenced'
      throw problem('fencesPending', { name: core.name, access })
    }
    interrupted = core.takeInterrupted()
    if (interrupted && strict) throw problem('interrupted', { name: core.name })
    if (core.storage.kind === 'dma-buf') beginKernelSync(core.storage.fd, access, core.name)
    core.ops?.beginCpuAccess?.(access, offset, length)
    guarded = core.mappings.guard?.begin({ access, offset, length }, lease)
    if (core.coherence !== undefined) {
      // What it fills must be there, and held by somebody.
      if (!core.coherence.zeroCopy && fitsView(core.storage.byteLength)) wholeView(core, tether)
      core.coherence.begin(access, offset, length, hints, lease)
    }
  } catch (error) {
    if (guarded !== undefined) core.mappings.guard?.end(guarded)
    lease.lower(writes)
    throw error
  }
  if (writes && core.shared?.othersWrite === true) {
    countFault(core, 'conflicting', "a write access was begun in another one's write access")
  }
  if (diagnostics.cpuBegin.hasSubscribers) {
    diagnostics.cpuBegin.publish({ id: core.id, name: core.name, access, offset, length })
  }
  return new CpuAccess(access, offset, length, interrupted, hints, core, tether, guarded)
}

/**
 * Whether there are fences to wait for. Those of this library are waited for once, as the kernel waits for its own; where the
 * kernel itself would wait in its ioctl, and this thread with it, they are asked for again.
 */
function isFenced(core: BufferCore, access: Access, step: BeginStep): boolean {
  if (core.storage.kind === 'dma-buf') return !isKernelReady(core.storage.fd, access)
  return step !== 'entered' && core.fences?.pending(access) === true
}
