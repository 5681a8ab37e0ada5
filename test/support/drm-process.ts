import { once } from 'node:events'
import { type Channel, type DmaBuf, forkWithChannel, type JsonLike } from '../../src/index.ts'

const module = new URL('../children/drm.ts', import.meta.url)

/** Another process with a DRM device of its own: test/children/drm.ts. */
export class DrmProcess implements AsyncDisposable {
  readonly channel: Channel
  readonly #exit: Promise<unknown>
  readonly #kill: () => void

  constructor() {
    const { child, channel } = forkWithChannel(module, [], { execArgv: ['--import', 'tsx'] })
    child.channel?.unref()
    this.channel = channel
    this.#exit = once(child, 'exit')
    this.#kill = () => child.kill('SIGKILL')
  }

  async ask(
    action: string,
    values: { readonly [key: string]: JsonLike } = {},
    buffers: readonly DmaBuf[] = [],
  ) {
    await this.channel.send({ do: action, ...values }, buffers)
    const { message, buffers: got } = await this.channel.receive()
    return { answer: message as { readonly [key: string]: JsonLike }, buffers: got }
  }

  async kill(): Promise<void> {
    this.#kill()
    await this.#exit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.channel.close({ signal: AbortSignal.timeout(10_000) })
    await this.#exit
  }
}
