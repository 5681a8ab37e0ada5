import { errno, problem, systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import { keep, type Tether } from './tether.ts'

/** The bytes of a mapping, which keep its buffer open as long as they are reachable. */
export function viewOf(mapping: Mapping, tether: Tether, name: string): Uint8Array {
  const view = pagesOf(mapping, name)
  keep(view.buffer as ArrayBuffer, tether)
  return view
}

/** The bytes of a mapping, for as long as the caller itself keeps the buffer. */
export function pagesOf(mapping: Mapping, name: string): Uint8Array {
  const view = mapping.view()
  if (typeof view !== 'number') return new Uint8Array(view)
  if (view === -errno.EBUSY) throw problem('movedAway', { name })
  if (view === -errno.ENOTSUP) throw problem('noZeroCopy', {})
  throw systemError(view, 'mmap', `showing buffer ${name}`)
}

/** What {@link wholeView} needs of an inner buffer. */
interface WholeBuffer {
  readonly mapping: Mapping
  readonly storage: { readonly byteLength: number }
  readonly name: string
  readonly coherence: { show(offset: number, length: number): Uint8Array | undefined } | undefined
  /** The view that another wrapper shows, if it is still there. */
  shown: WeakRef<Uint8Array> | undefined
  countedByView(): void
}

/** The whole of a buffer, the same view as long as its wrapper is open. */
export function wholeView(core: WholeBuffer, tether: Tether): Uint8Array {
  const cached = tether.bytes
  // Of length 0 when it was detached: frozen, revoked.
  if (cached !== undefined && cached.length > 0) return cached
  // Whoever still holds the empty one has the tether by it.
  if (cached !== undefined) tether.reusable = false
  const shown = core.shown?.deref()
  const staged = core.coherence?.show(0, core.storage.byteLength)
  const bytes =
    shown !== undefined && shown.length > 0 ? shown : (staged ?? viewOf(core.mapping, tether, core.name))
  if (bytes === shown || bytes === staged) keep(bytes.buffer as ArrayBuffer, tether)
  if (bytes !== shown) {
    core.countedByView()
    core.shown = new WeakRef(bytes)
  }
  tether.bytes = bytes
  return bytes
}
