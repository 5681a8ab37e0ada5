import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import type { Facts } from '../types.ts'

function firstOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return 'unknown'
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      stdio: 'pipe',
      encoding: 'utf8',
    }).trim()
  } catch {
    return 'unknown'
  }
}

export function facts(): Facts {
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    virtualized: /\bhypervisor\b/.test(firstOf('/proc/cpuinfo')) ? 'yes' : 'no',
    governor: firstOf('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
    node: process.version,
    v8: process.versions.v8,
    commit: commit(),
    loadAtStart: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  }
}
