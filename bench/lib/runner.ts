import type { Cores, Figures, Job, Part } from '../types.ts'
import { depthFor } from './frames.ts'
import { runJob } from './job.ts'
import { bytes } from './table.ts'

/** Runs jobs one after the other, says which on stderr, and keeps why one gave nothing. */
export class Runner {
  readonly #missing = new Map<string, string>()
  readonly #settings: { readonly seconds: number; readonly frames: number | undefined }

  constructor(settings: { readonly seconds: number; readonly frames: number | undefined }) {
    this.#settings = settings
  }

  async run(peer: string, size: number, cores: Cores, parts: readonly Part[]): Promise<Figures | undefined> {
    const label = `${peer}, ${bytes(size)}, cores ${cores.producer} and ${cores.consumer}`
    // A peer that failed at this once is not given the time to fail again in every round.
    if (this.#missing.has(label)) return undefined
    console.error(`  ${label}: ${parts.join(', ')}`)
    const { seconds, frames } = this.#settings
    const job: Job = { peer, size, depth: depthFor(size), cores, parts, seconds, ...(frames && { frames }) }
    try {
      return await runJob(job)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      console.error(text)
      // One line for the table; the stack has just been printed.
      this.#missing.set(label, text.split('\n')[0] ?? '')
      return undefined
    }
  }

  get missing(): string[] {
    return [...this.#missing].map(([label, why]) => `${label}: ${why}`)
  }
}
