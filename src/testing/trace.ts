import { type Channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { diagnostics } from '../internal/diagnostics.ts'
import type { CacheEvent } from '../memory/cache/cpu-cache.ts'
import type { Step } from './seed-search.ts'

/** As the trace knows it: names may be given twice. */
export interface TracedStep extends Step {
  /** Of the buffer in this environment. */
  readonly id: number
}

interface Message {
  readonly id: number
  readonly name: string
  readonly access?: string
  readonly offset?: number
  readonly length?: number
  readonly device?: string
  readonly direction?: string
  readonly kind?: string
}

const place = ({ offset, length }: Message) => `${offset}+${length}`

const texts: readonly [Channel, (message: Message) => string][] = [
  [diagnostics.cpuBegin, (message) => `begin ${message.access} ${place(message)}`],
  [diagnostics.cpuEnd, ({ access }) => `end ${access}`],
  [diagnostics.mapped, ({ device, direction }) => `map ${device} ${direction}`],
  [diagnostics.unmapped, ({ device, direction }) => `unmap ${device} ${direction}`],
  [diagnostics.dma, (message) => `dma ${message.kind} ${message.device} ${place(message)}`],
]

/** Writes down what happens to some buffers of this environment, in order, until it is disposed. */
export class Trace implements Disposable {
  readonly #steps: TracedStep[] = []
  /** What brackets and maps do to lines is told before they are: it waits for them here. */
  #early: TracedStep[] = []
  /** A map is told before what it does. */
  #afterMap = false
  readonly #of: (id: number) => boolean
  readonly #stop: (() => void)[] = []

  constructor(of: (id: number) => boolean) {
    this.#of = of
    for (const [channel, text] of texts) {
      this.#listen(channel, (message) => {
        this.#add(message, text(message), undefined)
        this.#steps.push(...this.#early.splice(0))
        this.#afterMap = channel === diagnostics.mapped
      })
    }
    this.#listen(diagnostics.cacheLines, (message) => {
      const event = message as unknown as CacheEvent & Message
      const { what, moment } = event
      if (what === 'evict' || what === 'prefetch') return this.#add(event, textOf(event), moment)
      if (this.#afterMap && what === 'clean') {
        this.#afterMap = false
        return this.#add(event, textOf(event), undefined)
      }
      this.#early.push({ id: event.id, buffer: event.name, text: textOf(event), moment: undefined })
    })
  }

  get steps(): readonly TracedStep[] {
    return [...this.#steps, ...this.#early]
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stop) stop()
  }

  /** Hears of these buffers only. */
  #listen(channel: Channel, listener: (message: Message) => void): void {
    const { name } = channel
    const heard = (message: unknown) => {
      if (this.#of((message as Message).id)) listener(message as Message)
    }
    subscribe(name, heard)
    this.#stop.push(() => unsubscribe(name, heard))
  }

  #add({ id, name }: Message, text: string, moment: number | undefined): void {
    this.#steps.push({ id, buffer: name, text, moment })
  }
}

function textOf({ what, ranges, dirty }: CacheEvent): string {
  const lines = ranges.map(({ first, last }) => (last - first === 1 ? `${first}` : `${first}-${last - 1}`))
  const result = { clean: 'written back', evict: 'written back', invalidate: 'lost', prefetch: '' }[what]
  const indent = what === 'clean' || what === 'invalidate' ? '  ' : '* '
  return `${indent}${what} lines ${lines.join(' ')}${dirty > 0 ? ` (${dirty} ${result})` : ''}`
}
