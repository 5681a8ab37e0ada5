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
  while (parked.size > limits.maxParkedBuffers || parkedBytes > limits.maxParkedBytes) evictOldest()
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
