import { diagnostics } from '../internal/diagnostics.ts'
import { countFault } from './bracket-faults.ts'
import type { BufferCore } from './buffer-core.ts'
import { endKernelSync } from './kernel-sync.ts'
import { OpenMaps } from './open-maps.ts'
import { tellExporter } from './tell-exporter.ts'

/**
 * One wrapper's share in its buffer. It outlives the wrapper: the finalization registry holds it, so that what the
 * wrapper has left open (itself, its brackets) is closed when the collector took it.
 */
export class Lease {
  /** Pages and vmaps. */
  readonly maps = new OpenMaps()
  #core: BufferCore | undefined
  #readers = 0
  #writers = 0
  /** Of these, the ones that wait for fences: entered, but nobody has them yet. */
  #waitingReaders = 0
  #waitingWriters = 0

  get closed(): boolean {
    return this.#core === undefined
  }

  /** Accesses that were begun and not ended. */
  get open(): number {
    return this.#readers + this.#writers
  }

  take(core: BufferCore): void {
    core.wrap()
    this.#core = core
  }

  /** False where the bracket has to wait: then none is open. */
  enter(core: BufferCore, writes: boolean): boolean {
    if (!core.enter(writes)) return false
    if (!writes) this.#readers++
    else {
      this.#writers++
      // Not where it is raised: a device's access passes there, too.
      if (core.openWriteBrackets > 1) countFault(core, 'overlapping', '')
    }
    return true
  }

  /** One bracket more, or one less, waits for fences inside. */
  waits(writes: boolean, change: 1 | -1): void {
    const core = this.#core
    if (core === undefined) return
    core.waitingBrackets += change
    if (writes) this.#waitingWriters += change
    else this.#waitingReaders += change
  }

  lower(writes: boolean): void {
    const core = this.#core
    if (core === undefined) return
    if (writes) this.#writers--
    else this.#readers--
    core.lower(writes)
  }

  /** Ends what is open, then lets go of the buffer. Idempotent. */
  close(collected: boolean): void {
    const core = this.#core
    if (core === undefined) return
    this.#leaveWaiting(true, this.#waitingWriters)
    this.#leaveWaiting(false, this.#waitingReaders)
    const left = this.maps.abandon()
    if (left > 0) {
      const how = collected ? 'collected' : 'closed'
      countFault(core, 'leftMapped', `${how} with ${left} of its kmaps and vmaps never unmapped`, left)
    }
    if (core.storage.kind === 'dma-buf' && this.open > 0) endOpen(core, this.#writers > 0)
    if (this.open > 0) {
      core.coherence?.abandon(this)
      this.#countForgotten(core, collected)
    }
    while (this.#writers > 0) this.#endForgotten(core, true)
    while (this.#readers > 0) this.#endForgotten(core, false)
    this.#core = undefined
    core.unwrap(collected)
  }

  /** Never begun, so that nobody is told, and nobody has forgotten them; whoever waits finds the buffer closed. */
  #leaveWaiting(writes: boolean, count: number): void {
    for (let left = count; left > 0; left--) {
      this.waits(writes, -1)
      this.lower(writes)
    }
  }

  #countForgotten(core: BufferCore, collected: boolean): void {
    const begun = core.mappings.guard?.endAll(this, this.open) ?? []
    const what = this.open === 1 ? 'a CPU access that was' : `${this.open} CPU accesses that were`
    const who = collected ? 'collected without close(), with' : 'closed with'
    const where = begun.length === 0 ? '' : `; begun ${begun.join('\nand ')}`
    countFault(core, 'unended', `${who} ${what} never ended${where}`, this.open)
  }

  /** Which range it was is not known any more: all of it. */
  #endForgotten(core: BufferCore, writes: boolean): void {
    const access = writes ? 'read-write' : 'read'
    tellExporter(core.ops, (ops) => ops.endCpuAccess?.(access, 0, core.storage.byteLength))
    this.lower(writes)
    if (diagnostics.cpuEnd.hasSubscribers) {
      diagnostics.cpuEnd.publish({ id: core.id, name: core.name, access })
    }
  }
}

/** The kernel does not count brackets: one end gives the memory back to the devices. */
function endOpen(core: BufferCore, wrote: boolean): void {
  try {
    endKernelSync(core.storage.fd, wrote ? 'read-write' : 'read', core.name)
  } catch {
    // The descriptor is closed next, whatever its driver says.
  }
}
