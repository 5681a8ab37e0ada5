import { setTimeout } from 'node:timers/promises'
import { throwIfAborted } from '../internal/abort.ts'
import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { abortSignal, instance, options } from '../internal/validate.ts'
import type { Reservation } from '../sync/reservation.ts'
import { SyncFile } from '../sync/sync-file.ts'
import { type Access, checkAccess } from './access.ts'
import type { BufferCore } from './buffer-core.ts'
import { LocalFences } from './fence-host.ts'
import { exportKernelFences, fencesPassed, importKernelFences } from './kernel-sync.ts'
import type { Lease } from './lease.ts'

/** Options of what may have to wait for fences, or for the exporter that keeps them. */
export interface FenceOptions {
  /** Ends the waiting with an `ABORT_ERR`. */
  readonly signal?: AbortSignal
}

/** Milliseconds between two looks at the record of an exporter that cannot be asked. */
const CUT_STEP = 100

const fenceOptions = ['signal'] as const

function signalOf(what: string, fenceOpts: FenceOptions | undefined): AbortSignal | undefined {
  const signal = abortSignal('signal', options(what, fenceOpts, fenceOptions).signal)
  throwIfAborted(signal, what)
  return signal
}

export function reservationOf(core: BufferCore): Reservation {
  const { name } = core
  if (core.storage.kind === 'dma-buf') throw problem('noReservation', { name, why: 'it is a real dma-buf' })
  const host = core.fenceHost()
  if (host instanceof LocalFences) return host.reservation
  throw problem('noReservation', { name, why: 'this process is not its exporter' })
}

/** Whoever waits keeps the buffer. */
async function keeping<T>(core: BufferCore, act: () => Promise<T>): Promise<T> {
  core.retain()
  try {
    return await act()
  } finally {
    core.release()
  }
}

export async function exportFences(
  core: BufferCore,
  access: Access,
  fenceOpts: FenceOptions | undefined,
): Promise<SyncFile> {
  checkAccess(access)
  const signal = signalOf('exportSyncFile', fenceOpts)
  if (core.storage.kind === 'dma-buf') return exportKernelFences(core.storage.fd, access, core.name)
  return keeping(core, async () => SyncFile.from(await core.fenceHost().exportFence(access, signal)))
}

export async function importFences(core: BufferCore, file: SyncFile, access: Access): Promise<void> {
  const { fence } = instance('file', file, SyncFile)
  checkAccess(access)
  if (core.storage.kind === 'dma-buf') return importKernelFences(core.storage.fd, file, access, core.name)
  return keeping(core, () => {
    const host = core.fenceHost()
    checkRoom(core)
    return host.importFence(fence, access)
  })
}

export async function pollFences(
  core: BufferCore,
  access: Access,
  fenceOpts: FenceOptions | undefined,
): Promise<void> {
  checkAccess(access)
  const signal = signalOf('poll', fenceOpts)
  return keeping(core, async () => {
    let waited = true
    // Others may have come meanwhile: poll(2) looks again before it answers, too.
    while (waited) waited = await waitForFences(core, access, signal)
  })
}

/** Waits for what stands in the way of an access now; false when that was nothing. */
async function waitForFences(
  core: BufferCore,
  access: Access,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (core.storage.kind === 'dma-buf') {
    await fencesPassed(core.storage.fd, access, signal)
    return false
  }
  const { fences } = core
  if (fences === undefined) return false
  while (fences.pending(access)) {
    try {
      const fence = await fences.exportFence(access, signal)
      if (fence.isSignalled) return false
      return await fence.wait(signal === undefined ? {} : { signal })
    } catch (error) {
      throwIfAborted(signal, 'waiting for fences')
      // The fences of an exporter that is gone are gone with it; whether it is may have to be found out.
      if (fences.pending(access) && !fences.cut) throw error
      if (!fences.cut) continue
      await fences.askAlive()
      await setTimeout(CUT_STEP)
    }
  }
  return false
}

/**
 * As {@link waitForFences}, in a bracket that is raised: it stays so, so that nothing is moved away under who waits. Until it
 * is begun, it counts as one that waits.
 */
export async function fencesPassedInside(
  core: BufferCore,
  lease: Lease,
  access: Access,
  signal: AbortSignal | undefined,
): Promise<void> {
  const writes = access !== 'read'
  core.retain()
  lease.waits(writes, 1)
  try {
    await waitForFences(core, access, signal)
    if (lease.closed) throw problem('closedBuffer', { name: core.name })
  } catch (error) {
    // These do nothing when the wrapper was closed meanwhile.
    lease.waits(writes, -1)
    lease.lower(writes)
    throw error
  } finally {
    core.release()
  }
}

/** Waits for those who move the memory. */
export async function kernelFencesPassed(core: BufferCore, signal: AbortSignal | undefined): Promise<void> {
  const { fences } = core
  if (!(fences instanceof LocalFences)) return
  await fences.reservation.wait('kernel', signal === undefined ? {} : { signal })
}

/** Refuses to keep more fences than anybody needs: a stranger may be adding them. */
export function checkRoom(core: BufferCore): void {
  const { fences, name } = core
  const count = fences instanceof LocalFences ? fences.reservation.fences('bookkeep').length : 0
  if (count >= limits.maxFencesPerBuffer) throw problem('bufferFences', { name, count })
}
