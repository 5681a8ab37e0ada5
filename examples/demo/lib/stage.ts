import { Channel, type DmaBuf } from 'dmabuf'
import { type Film, frameBytes, type Size } from './picture.ts'

/** What the parent tells each stage to do. */
export type SourceJob = {
  listen: string
  file: string | null
  size: Size
  frames: number | null
  fps: number | null
}
export type FilterJob = { connect: string; listen: string; film: Film; secondBuffer: boolean }
export type SinkJob = { connect: string; film: Film; out: string; part: string }

/** What a stage counts. `copied`: bytes moved unchanged from one buffer to another; `file`: from or to files. */
export type Counts = { frames: number; seconds: number; copied: number; file: number; checksum: number }

export type ToStage = { type: 'job'; job: SourceJob | FilterJob | SinkJob } | { type: 'stop' }
export type FromStage =
  | { type: 'ready'; film: Film | null }
  | { type: 'progress' | 'done'; counts: Counts }
  | { type: 'failed'; message: string }

export const noCounts: Counts = { frames: 0, seconds: 0, copied: 0, file: 0, checksum: 1 }

const PROGRESS_MS = 200

/** A stage's side of its talk with the parent. */
export class Stage<Job> {
  readonly job: Job
  readonly counts: Counts = { ...noCounts }
  /** Aborted when the film shall end with the frame that is being made. */
  readonly stop: AbortSignal
  readonly #control: Channel
  #start = 0

  constructor(control: Channel, job: Job, stop: AbortSignal) {
    this.#control = control
    this.job = job
    this.stop = stop
  }

  async ready(film: Film | null = null): Promise<void> {
    this.#start = performance.now()
    await this.tell({ type: 'ready', film })
  }

  /** Time runs from the first frame's arrival, so that waiting for the other processes does not count. */
  frameBegins(): void {
    if (this.counts.frames === 0) this.#start = performance.now()
  }

  frameDone(did: { copied?: number; file?: number } = {}): void {
    this.counts.frames++
    this.counts.copied += did.copied ?? 0
    this.counts.file += did.file ?? 0
    this.counts.seconds = (performance.now() - this.#start) / 1000
  }

  tell(message: FromStage): Promise<void> {
    return this.#control.send(message)
  }
}

/** Runs a stage as a child process of the demo: takes the job, reports, and goes when the parent goes. */
export async function runStage<Job>(work: (stage: Stage<Job>) => Promise<void>): Promise<void> {
  // Ctrl-C reaches the whole group; the parent decides how the film ends.
  process.on('SIGINT', () => {})
  const control = Channel.parent()
  const stopping = new AbortController()
  void control.closed.then(() => process.exit())
  // Parent and stages are one program, so that the types of its messages need no check at run time.
  const { message } = await control.receive().catch(() => process.exit())
  const stage = new Stage(control, (message as { job: Job }).job, stopping.signal)
  void listenForStop(control, stopping)
  const progress = setInterval(() => {
    stage.tell({ type: 'progress', counts: stage.counts }).catch(() => {})
  }, PROGRESS_MS)
  try {
    await work(stage)
    await stage.tell({ type: 'done', counts: stage.counts })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    // Nobody to tell when the parent is the one that is gone.
    await stage.tell({ type: 'failed', message }).catch(() => {})
  } finally {
    clearInterval(progress)
  }
}

async function listenForStop(control: Channel, stopping: AbortController): Promise<void> {
  for await (const { message } of control) {
    if ((message as ToStage).type === 'stop') stopping.abort()
  }
}

/** The last message of a film. A channel that only closes may belong to a process that gave up. */
export const END = 'end'

export type Frame = { buffer: DmaBuf; frame: number }

/** The frames that a neighbour sends, each for the receiver to close. Throws if they stop before the film's end. */
export async function* framesFrom(upstream: Channel, film: Film): AsyncGenerator<Frame, void, undefined> {
  for await (const { message, buffers } of upstream) {
    if (message === END && buffers.length === 0) return
    const [buffer] = buffers
    if (buffers.length !== 1 || buffer?.byteLength !== frameBytes(film) || typeof message !== 'number') {
      for (const stranger of buffers) stranger.close()
      throw new TypeError('a message arrived that is no frame of this film')
    }
    yield { buffer, frame: message }
  }
  const { reason, error } = await upstream.closed
  throw new Error(`the film broke off (${error?.message ?? reason})`)
}
