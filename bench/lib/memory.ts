import { readFileSync } from 'node:fs'
import type { MemoryFigures } from '../types.ts'

function kib(pid: number, file: string, key: string): number {
  try {
    const text = readFileSync(`/proc/${pid}/${file}`, 'utf8')
    return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  } catch {
    return 0 // it has ended between two samples
  }
}

/**
 * Watches processes from outside while they work. RSS counts a shared page in each of them, and its peak is
 * the kernel's own; PSS divides it among them, so the sum over the pair is what the machine really lost, but
 * its peak is only the highest of the samples.
 */
export class MemoryWatch {
  pids: readonly number[] = []
  #rss = new Map<number, number>()
  #pss = 0
  #idle = 0
  #timer: NodeJS.Timeout | undefined

  markIdle(): void {
    this.#idle = this.#sumPss()
  }

  begin(): void {
    this.#sample()
    this.#timer = setInterval(() => this.#sample(), 10)
  }

  end(): void {
    clearInterval(this.#timer)
    this.#sample()
  }

  figures(): MemoryFigures {
    const rss = [...this.#rss.values()].sort((a, b) => b - a).slice(0, 2)
    const mib = (value: number) => Math.round((value / 1024) * 10) / 10
    return {
      peakRssMiB: mib(rss.reduce((a, b) => a + b, 0)),
      peakPssMiB: mib(this.#pss),
      idlePssMiB: mib(this.#idle),
    }
  }

  #sumPss(): number {
    return this.pids.reduce((sum, pid) => sum + kib(pid, 'smaps_rollup', 'Pss'), 0)
  }

  #sample(): void {
    for (const pid of this.pids) {
      this.#rss.set(pid, Math.max(this.#rss.get(pid) ?? 0, kib(pid, 'status', 'VmHWM')))
    }
    this.#pss = Math.max(this.#pss, this.#sumPss())
  }
}
