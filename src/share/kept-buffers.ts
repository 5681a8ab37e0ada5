import type { BufferCore } from '../dmabuf/buffer-core.ts'
import { limits } from '../internal/limits.ts'
import { PacketType } from '../transport/packet.ts'

/**
 * What one channel keeps of a buffer: `kept` while the peer may name it, `forgetting` from the last close here until
 * the peer has confirmed, because a message that names it may be under way.
 */
interface Kept {
  readonly name: number
  readonly core: BufferCore
  forgetting: boolean
}

/** For each buffer the channels that keep it, each with its way to let go. */
const keepers = new WeakMap<BufferCore, Set<(core: BufferCore) => void>>()

/**
 * The buffers that this side has promised its peer to keep, so that they travel by name. The promise is made when a
 * buffer comes a second time while it is still open here, and taken back when the last wrapper is closed.
 */
export class KeptBuffers {
  readonly #byName = new Map<number, Kept>()
  readonly #byCore = new Map<BufferCore, Kept>()
  readonly #tell: (type: number, name: number) => void
  readonly #letGo = (core: BufferCore) => this.#forget(core)

  constructor(tell: (type: number, name: number) => void) {
    this.#tell = tell
  }

  find(name: number): BufferCore | undefined {
    return this.#byName.get(name)?.core
  }

  /** A buffer came with all its descriptors under this name: keep it from now on if it was open already. */
  received(core: BufferCore, name: number): void {
    if (core.wrappers === 0 || this.#byCore.has(core) || this.#byName.has(name)) return
    if (this.#byName.size >= limits.maxKeptBuffers) return
    const kept = { name, core, forgetting: false }
    this.#byName.set(name, kept)
    this.#byCore.set(core, kept)
    keepersOf(core).add(this.#letGo)
    this.#tell(PacketType.keep, name)
  }

  /** The peer will not name it any more. */
  forgotten(name: number): void {
    const kept = this.#byName.get(name)
    if (kept === undefined || !kept.forgetting) return
    this.#remove(kept)
    kept.core.release()
  }

  close(): void {
    for (const kept of this.#byName.values()) {
      this.#remove(kept)
      if (kept.forgetting) kept.core.release()
    }
  }

  /** The last wrapper here is gone: hold on until the peer has heard of it. */
  #forget(core: BufferCore): void {
    const kept = this.#byCore.get(core)
    if (kept === undefined || kept.forgetting) return
    kept.forgetting = true
    core.retain()
    this.#tell(PacketType.forget, kept.name)
  }

  #remove(kept: Kept): void {
    this.#byName.delete(kept.name)
    this.#byCore.delete(kept.core)
    keepers.get(kept.core)?.delete(this.#letGo)
  }
}

/** On first use, lets a buffer's end wait for the channels that keep it. */
function keepersOf(core: BufferCore): Set<(core: BufferCore) => void> {
  const known = keepers.get(core)
  if (known !== undefined) return known
  const letGo = new Set<(core: BufferCore) => void>()
  keepers.set(core, letGo)
  const { onUnused } = core
  core.onUnused = () => {
    for (const forget of letGo) forget(core)
    if (core.references === 0) onUnused(core)
  }
  return letGo
}
