import type { ChildProcess } from 'node:child_process'
import { type Channel, forkWithChannel } from 'dmabuf'
import type { Film } from './picture.ts'
import { type Counts, type FromStage, noCounts, type ToStage } from './stage.ts'

/** How a stage ended. A stage that died by itself is the cause; one that failed may only have noticed it. */
export type Ending = { how: 'done' } | { how: 'failed' | 'died'; message: string }

function deferred<T>() {
  let resolve!: (value: T) => void
  let reject!: (reason: Error) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** The parent's side of one stage. */
export class StageProcess {
  readonly name: string
  readonly child: ChildProcess
  readonly ended: Promise<Ending>
  readonly exited: Promise<void>
  counts: Counts = noCounts
  readonly #channel: Channel
  readonly #ready = deferred<Film | null>()

  constructor(name: string, module: URL) {
    const { child, channel } = forkWithChannel(module)
    this.name = name
    this.child = child
    this.#channel = channel
    const ended = deferred<Ending>()
    this.ended = ended.promise
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        ended.resolve({ how: 'died', message: `the ${name} could not be started: ${error.message}` })
        resolve()
      })
      child.once('exit', (status, signal) => {
        const how = signal ? `was killed by ${signal}` : `ended with status ${status}`
        ended.resolve({ how: 'died', message: `the ${name} process (${child.pid}) ${how}` })
        resolve()
      })
    })
    this.#ready.promise.catch(() => {})
    void this.ended.then((ending) => {
      this.#ready.reject(new Error(ending.how === 'done' ? `the ${name} ended at once` : ending.message))
    })
    // When the channel breaks, the child's exit tells why.
    this.#listen(ended.resolve).catch(() => {})
  }

  /** Gives the stage its job; resolves when it is ready for its neighbours. */
  async start(job: Extract<ToStage, { type: 'job' }>['job']): Promise<Film | null> {
    // A stage that has died already is reported by its exit.
    await this.#channel.send({ type: 'job', job }).catch(() => {})
    return this.#ready.promise
  }

  stop(): void {
    this.#channel.send({ type: 'stop' }).catch(() => {})
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }

  /** Lets the stage go; one that does not go in time is killed. */
  async close(graceMs: number): Promise<void> {
    const timer = setTimeout(() => this.kill(), graceMs)
    await this.#channel.close().catch(() => {})
    await this.exited
    clearTimeout(timer)
  }

  async #listen(end: (ending: Ending) => void): Promise<void> {
    for await (const { message } of this.#channel) {
      const told = message as FromStage
      if (told.type === 'ready') this.#ready.resolve(told.film)
      else if (told.type === 'failed') end({ how: 'failed', message: `${this.name}: ${told.message}` })
      else this.counts = told.counts
      if (told.type === 'done') end({ how: 'done' })
    }
  }
}
