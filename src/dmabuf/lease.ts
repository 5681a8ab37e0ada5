import type { BufferCore } from './buffer-core.ts'

/**
 * One wrapper's share in its buffer. It outlives the wrapper: the finalization registry holds it, so that what
 * the wrapper has left open (itself, its brackets) is closed when the collector took it.
 */
export class Lease {
  closed = false
  /** Keeps this lease from being collected while its wrapper or its memory is reachable. */
  #readers = 0
  #writers = 0
  readonly core: BufferCore

  constructor(core: BufferCore) {
    this.core = core
    core.wrap()
  }

  raise(writes: boolean): void {
    this.core.raise(writes)
    if (writes) this.#writers++
    else this.#readers++
  }

  lower(writes: boolean): void {
    if (this.closed) return
    if (writes) this.#writers--
    else this.#readers--
    this.core.lower(writes)
  }

  /** Ends what is open, then lets go of the buffer. Idempotent. */
  close(collected = false): void {
    if (this.closed) return
    while (this.#writers > 0) this.lower(true)
    while (this.#readers > 0) this.lower(false)
    this.closed = true
    this.core.unwrap(collected)
  }
}

const registry = new FinalizationRegistry<Lease>((lease) => lease.close(true))

/** Closes the lease when `token` has been collected. */
export function closeWithToken(token: object, lease: Lease): void {
  registry.register(token, lease, lease)
}

export function forgetToken(lease: Lease): void {
  registry.unregister(lease)
}
