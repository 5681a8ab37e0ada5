import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Options, parseOptions, UsageError, usage } from './lib/options.ts'
import { type MemoryUse, measureMemory } from './lib/pss.ts'
import { formatMemory, formatProgress, formatStages } from './lib/report.ts'
import { type Ending, StageProcess } from './lib/stage-process.ts'

const INTERRUPTED = 130
/** How long stages may take to finish by themselves when the film was stopped, or when one of them is gone. */
const GRACE_MS = 5000
const SAMPLE_MS = 250
const ONE_PRESS_MS = 500

class Demo {
  readonly #options: Options
  readonly #part: string
  readonly #source = new StageProcess('source', new URL('./source.ts', import.meta.url))
  readonly #filter = new StageProcess('filter', new URL('./filter.ts', import.meta.url))
  readonly #sink = new StageProcess('sink', new URL('./sink.ts', import.meta.url))
  readonly #stages = [this.#source, this.#filter, this.#sink]
  #running = false
  #interruptedAt: number | undefined
  #frames: number | null = null
  #memory: MemoryUse | undefined

  constructor(options: Options) {
    this.#options = options
    this.#part = `${options.out}.${process.pid}.part`
  }

  /** Runs the film; resolves to the exit status. */
  async run(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.#interrupt())
    const progress = this.#showProgress()
    try {
      const problem = await this.#play()
      progress.stop()
      return this.#summarize(problem)
    } finally {
      progress.stop()
      await Promise.all(this.#stages.map((stage) => stage.close(GRACE_MS)))
      await rm(this.#part, { force: true })
    }
  }

  /** Connects the stages, from the source on, and waits for their ends. Resolves to what went wrong. */
  async #play(): Promise<string | undefined> {
    const { file, size, frames, fps, secondBuffer, out } = this.#options
    // Abstract names leave no file behind, however this ends.
    const name = `dmabuf-demo-${randomUUID()}`
    const [first, second] = [`${name}-source`, `${name}-filter`]
    try {
      const film = await this.#source.start({ listen: first, file, size, frames, fps })
      if (!film) throw new Error('the source does not say what it plays')
      this.#frames = film.frames
      await this.#filter.start({ connect: first, listen: second, film, secondBuffer })
      await this.#sink.start({ connect: second, film, out, part: this.#part })
      this.#running = true
      if (this.#interrupted) this.#source.stop()
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
    return this.#waitForEnd()
  }

  async #waitForEnd(): Promise<string | undefined> {
    const endings: Ending[] = []
    const all = this.#stages.map(async (stage) => {
      const ending = await stage.ended
      endings.push(ending)
      // Neighbours notice by themselves that one is gone; here is what happens if they do not.
      if (ending.how !== 'done') this.#killLater()
    })
    await Promise.all(all)
    const worst = endings.find(({ how }) => how === 'died') ?? endings.find(({ how }) => how === 'failed')
    return worst && worst.how !== 'done' ? worst.message : undefined
  }

  #killLater(): void {
    setTimeout(() => {
      for (const stage of this.#stages) stage.kill()
    }, GRACE_MS).unref()
  }

  #interrupt(): void {
    const now = performance.now()
    // npm hands on the Ctrl-C that the terminal has sent to the whole group already: one press, two signals.
    if (now - (this.#interruptedAt ?? Number.NEGATIVE_INFINITY) < ONE_PRESS_MS) return
    // The first time the film ends in good order, the second time at once.
    if (this.#interrupted || !this.#running) for (const stage of this.#stages) stage.kill()
    else this.#source.stop()
    this.#interruptedAt ??= now
    this.#killLater()
  }

  get #interrupted(): boolean {
    return this.#interruptedAt !== undefined
  }

  #summarize(problem: string | undefined): number {
    const { frames, checksum } = this.#sink.counts
    const names = this.#stages.map(({ name }) => name)
    const failed = problem !== undefined && !(this.#interrupted && frames === 0)
    const lines: string[] = []
    if (frames > 0)
      lines.push('', ...formatStages(this.#stages), '', ...formatMemory(names, this.#memory), '')
    if (frames > 0) lines.push(`film checksum ${checksum.toString(16).padStart(8, '0')}`)
    if (!failed)
      lines.push(frames > 0 ? `written: ${this.#options.out}` : 'nothing written: the film had no frame')
    if (this.#interrupted) lines.push('interrupted')
    if (lines.length > 0) console.log(lines.join('\n'))
    if (failed) console.error(`demo: ${problem}; ${this.#options.out} was not written`)
    return this.#interrupted ? INTERRUPTED : failed ? 1 : 0
  }

  #showProgress(): { stop(): void } {
    const ended = new AbortController()
    void this.#measure(ended.signal)
    const terminal = process.stdout.isTTY
    const show = () => {
      const text = formatProgress(this.#stages, this.#memory, this.#frames)
      process.stdout.write(terminal ? `\r\x1b[K${text}` : `${text}\n`)
    }
    const timer = setInterval(show, terminal ? 100 : 1000)
    return {
      stop: () => {
        if (ended.signal.aborted) return
        ended.abort()
        clearInterval(timer)
        if (terminal) process.stdout.write('\r\x1b[K')
      },
    }
  }

  /** Keeps the sample of the moment when most memory was shared. */
  async #measure(ended: AbortSignal): Promise<void> {
    const total = (use?: MemoryUse) => use?.processes.reduce((sum, { mapped }) => sum + mapped, 0) ?? 0
    while (!ended.aborted) {
      const use = await measureMemory(this.#stages.map(({ child }) => child.pid!))
      if (total(use) > total(this.#memory)) this.#memory = use
      await sleep(SAMPLE_MS, undefined, { ref: false })
    }
  }
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options) process.exitCode = await new Demo(options).run()
  else console.log(usage)
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`demo: ${error.message}\nTry --help.`)
  process.exitCode = 2
}
