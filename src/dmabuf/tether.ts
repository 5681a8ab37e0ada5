import type { BufferCore } from './buffer-core.ts'
import { Lease } from './lease.ts'

/**
 * What ties a buffer to JavaScript: reachable from its wrapper, from open accesses and from the memory itself. When
 * none of them can be reached any more, the collector takes the tether, and the registry closes its lease.
 */
export class Tether {
  readonly lease = new Lease()
  /**
   * The whole buffer as it was last shown. Held here, so that both live equally long: a minor collection would take the
   * ArrayBuffer alone, and bytes that nobody counts any more would not hurry the major one that finds the tether. Not
   * in the inner buffer: there it would keep its own tether alive for ever.
   */
  bytes: Uint8Array | undefined
  /** Nobody but its wrapper can still have it when that is closed. */
  reusable = true
}

const registry = new FinalizationRegistry<Lease>((lease) => lease.close(true))

/**
 * Tethers whose wrapper was closed. Registering one, and taking it out again, costs more than a bracket, and the
 * collector more still; so a tether is registered once and serves many wrappers, one after the other.
 */
const unused: Tether[] = []
const MAX_UNUSED = 1024

export function tie(core: BufferCore): Tether {
  const tether = unused.pop() ?? newTether()
  tether.lease.take(core)
  return tether
}

/** Closes the lease at once. Idempotent as long as the caller forgets the tether. */
export function untie(tether: Tether): void {
  const { lease, bytes } = tether
  // An access that is still open has the tether too, and would end another wrapper's bracket.
  const reusable = tether.reusable && lease.open === 0
  tether.bytes = undefined
  lease.close(false)
  if (bytes !== undefined) letGo(bytes.buffer as ArrayBuffer, tether)
  if (reusable && unused.length < MAX_UNUSED) unused.push(tether)
}

function newTether(): Tether {
  const tether = new Tether()
  registry.register(tether, tether.lease)
  return tether
}

/**
 * Where an ArrayBuffer keeps the tethers of those who gave it out: a hidden property, because a WeakMap with as many
 * entries as there are open buffers costs the collector more than everything else here.
 */
const kept = Symbol('dmabuf tethers')

interface Keeper {
  [kept]?: Set<Tether>
}

/** From now on whoever has this memory keeps its buffer open. */
export function keep(view: ArrayBuffer, tether: Tether): void {
  const tethers = (view as Keeper)[kept]
  if (tethers !== undefined) tethers.add(tether)
  else Object.defineProperty(view, kept, { value: new Set([tether]) })
}

function letGo(view: ArrayBuffer, tether: Tether): void {
  ;(view as Keeper)[kept]?.delete(tether)
}
