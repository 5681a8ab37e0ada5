import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { memoryBudget } from '../memory/budget.ts'
import { describeAddon } from '../native/load.ts'
import { size } from './buffer-table.ts'
import { findDevices } from './devices.ts'
import type { Finding } from './findings.ts'
import { probeKernel } from './kernel-probes.ts'
import { parseOpenFiles } from './proc-text.ts'

/** Everything that decides whether and how well the library works on this machine, tried and not guessed. */
export function examine(): Finding[] {
  const addon = describeAddon()
  const { platform, arch, libc, libcVersion, runtime, napi } = addon
  const findings: Finding[] = [
    {
      what: 'platform',
      state: platform === 'linux' ? 'ok' : 'missing',
      found: `${platform} ${release()}, ${arch}`,
      means: 'shared memory by dma-buf rules exists on Linux only',
      required: true,
    },
    {
      what: 'runtime',
      state: 'ok',
      found: `${runtime}, Node-API ${napi ?? 'none'}, ${[libc ?? 'unknown libc', libcVersion].join(' ').trim()}`,
      means: 'decides which prebuilt binary fits',
    },
    {
      what: 'addon',
      state: addon.path === undefined ? 'missing' : 'ok',
      found: addon.path ?? addon.error?.message ?? 'not loaded',
      means: addon.error?.hint ?? `interface ${addon.abi}`,
      required: true,
    },
  ]
  if (addon.path !== undefined) findings.push(...probeKernel())
  return platform === 'linux' ? [...findings, openFiles(), budget(), ...findDevices()] : findings
}

function openFiles(): Finding {
  const what = 'open files'
  const means = 'a shared buffer takes two of them, in its exporter and in each holder; raise with ulimit -n'
  try {
    const limits = parseOpenFiles(readFileSync('/proc/self/limits', 'utf8'))
    if (limits !== undefined) {
      // Node raises the soft limit to the hard one when it starts, so both are what programs get.
      return { what, state: 'ok', found: `RLIMIT_NOFILE ${limits.soft}, at most ${limits.hard}`, means }
    }
  } catch {
    // No /proc: said already by its own line.
  }
  return { what, state: 'missing', found: '/proc/self/limits cannot be read', means }
}

function budget(): Finding {
  return {
    what: 'memory budget',
    state: 'ok',
    found: size(memoryBudget().budget),
    means:
      'what one process may export at a time; three quarters of the machine or container, setMemoryBudget()',
  }
}
