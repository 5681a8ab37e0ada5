import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Cores } from '../types.ts'

/** `0-3,8` as the kernel writes lists of cores. */
export function parseCoreList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((range) => range !== '')
    .flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number)
      return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i)
    })
}

/** Pins every thread that this process has; later ones inherit it. */
export function pinSelf(core: number): void {
  execFileSync('taskset', ['-acp', String(core), String(process.pid)], { stdio: 'pipe' })
}

function allowedCores(): number[] {
  const line = /^Cpus_allowed_list:(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return parseCoreList(line?.[1] ?? '0')
}

function siblings(core: number): number[] {
  try {
    return parseCoreList(
      readFileSync(`/sys/devices/system/cpu/cpu${core}/topology/thread_siblings_list`, 'utf8'),
    )
  } catch {
    return [core]
  }
}

export type Placement = 'same' | 'different'

/**
 * The last core, because the first ones serve most interrupts; and for a second one the last that is not
 * another thread of the same physical core. `undefined` when there is no second.
 */
export function coresFor(placement: Placement): Cores | undefined {
  const allowed = allowedCores()
  const consumer = allowed.at(-1)!
  if (placement === 'same') return { producer: consumer, consumer }
  const near = siblings(consumer)
  const producer =
    allowed.findLast((core) => !near.includes(core)) ?? allowed.findLast((core) => core !== consumer)
  return producer === undefined ? undefined : { producer, consumer }
}
