import { readFileSync } from 'node:fs'
import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { limits } from '../internal/limits.ts'

/**
 * Recycled storage that this environment has closed but keeps mapped for its next coming: mapping and touching 33
 * MiB anew costs more than handing it over. The leash is closed, so the exporter may use the buffer at once;
 * the views are detached, and the pages lie where nothing old can reach them. Given up when the exporter says
 * so, after a while unused, or when there is too much of it.
 */
const parked = new Map<BufferCore, number>()
let parkedBytes = 0
let timer: NodeJS.Timeout | undefined

export function park(core: BufferCore): void {
  parked.set(core, performance.now())
  parkedBytes += core.storage.byteLength
  while (parked.size > mostParked() || parkedBytes > limits.maxParkedBytes) evictOldest()
  if (timer === undefined && parked.size > 0) {
    timer = setInterval(evictOld, limits.parkTimeout)
    timer.unref()
  }
}

/** Takes a buffer out, if it is there. */
export function unpark(core: BufferCore): void {
  if (!parked.delete(core)) return
  parkedBytes -= core.storage.byteLength
  if (parked.size > 0) return
  clearInterval(timer)
  timer = undefined
}

let most: number | undefined

/** Each parked buffer keeps a descriptor open: no more than an eighth of those that this process may have. */
function mostParked(): number {
  most ??= Math.max(1, Math.min(limits.maxParkedBuffers, Math.floor(openFilesLimit() / 8)))
  return most
}

function openFilesLimit(): number {
  try {
    const text = readFileSync('/proc/self/limits', 'latin1')
    return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY)
  } catch {
    // Without /proc the usual limit is assumed.
    return 1024
  }
}

function evictOldest(): void {
  for (const core of parked.keys()) {
    core.destroy()
    return
  }
}

function evictOld(): void {
  const limit = performance.now() - limits.parkTimeout
  for (const [core, since] of parked) if (since < limit) core.destroy()
}
