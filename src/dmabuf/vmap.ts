import { diagnostics } from '../internal/diagnostics.ts'
import { problem } from '../internal/errors.ts'
import type { BufferCore } from './buffer-core.ts'
import { checkStorage } from './core-mappings.ts'
import type { OpenMap, OpenMaps } from './open-maps.ts'
import { tellExporter } from './tell-exporter.ts'
import type { Tether } from './tether.ts'
import { wholeView } from './views.ts'
import { RecordFlag, StateRecord } from './words.ts'

/** How many vmaps each inner buffer has, of whatever wrapper. */
const users = new WeakMap<BufferCore, number>()

/** A vmap as its lease knows it: without the tether, which a lease must not keep. */
class VmapUse implements OpenMap {
  readonly #core: BufferCore

  constructor(core: BufferCore) {
    const count = users.get(core) ?? 0
    if (count === 0) {
      core.ops?.vmap?.()
      if (diagnostics.vmap.hasSubscribers) diagnostics.vmap.publish({ id: core.id, name: core.name })
    }
    users.set(core, count + 1)
    this.#core = core
  }

  /** True for the last one of the buffer: its exporter has to be told. */
  leave(): boolean {
    const left = (users.get(this.#core) ?? 1) - 1
    users.set(this.#core, left)
    if (left > 0) return false
    const { id, name } = this.#core
    if (diagnostics.vunmap.hasSubscribers) diagnostics.vunmap.publish({ id, name })
    return true
  }

  abandon(): number {
    if (this.leave()) tellExporter(this.#core.ops, (ops) => ops.vunmap?.())
    return 1
  }
}

/**
 * A linear mapping of a whole buffer, made by `DmaBuf.vmap()`: lives over many brackets, and is looked at inside them. All
 * vmaps of an environment show the same ArrayBuffer, and the exporter is asked for the first and told of the last one
 * only. Whoever made it calls `vunmap()` (or has it with `using`). Follows dma_buf_vmap() and dma_buf_vunmap().
 */
export class Vmap implements Disposable {
  readonly byteLength: number
  readonly #core: BufferCore
  readonly #tether: Tether
  readonly #owner: OpenMaps
  readonly #use: VmapUse

  /** @internal */
  constructor(core: BufferCore, tether: Tether, owner: OpenMaps) {
    const { name } = core
    if (core.isRevoked) throw problem('revoked', { name })
    if (!hasVmap(core)) throw problem('noVmap', { name, exporter: core.exporterName })
    checkStorage(core)
    this.byteLength = wholeView(core, tether).length
    this.#core = core
    this.#tether = tether
    this.#owner = owner
    this.#use = new VmapUse(core)
    owner.add(this.#use)
  }

  /**
   * The whole buffer, as raw as `CpuAccess.bytes`: look at it inside a bracket, whose range it does not know. Valid until
   * `vunmap()`, wherever the storage moves. Errors: `EBADF` after `vunmap()` or the buffer's `close()`, `ENODEV` revoked.
   */
  get bytes(): Uint8Array {
    const { name } = this.#core
    if (!this.#owner.has(this.#use)) throw problem('closedRange', { name })
    if (this.#core.isRevoked) throw problem('revoked', { name })
    return wholeView(this.#core, this.#tether)
  }

  /** Gives the mapping back. The view stays that of the brackets. `EINVAL` when it was given back already. */
  vunmap(): void {
    if (!this.#owner.remove(this.#use)) {
      throw problem('unmappedTwice', { name: this.#core.name, what: 'vunmap', which: 'the vmap' })
    }
    if (this.#use.leave()) this.#core.ops?.vunmap?.()
  }

  [Symbol.dispose](): void {
    // A vunmap() before the end of the block is the block's own business.
    if (this.#owner.has(this.#use)) this.vunmap()
  }
}

/** Whether the exporter has a linear mapping to give; a holder reads that in the buffer's record. */
function hasVmap(core: BufferCore): boolean {
  if (core.role === 'exporter') return core.ops?.vmap !== null
  const { shared } = core
  return (
    shared === undefined || ((shared.words[shared.base + StateRecord.flags] ?? 0) & RecordFlag.noVmap) === 0
  )
}
