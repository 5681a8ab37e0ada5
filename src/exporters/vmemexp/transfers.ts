import { problem } from '../../internal/errors.ts'

const prototype = ArrayBuffer.prototype as unknown as Record<string, unknown>
const names = ['transfer', 'transferToFixedLength'] as const

/**
 * Tells where the memory of an ArrayBuffer goes when its `transfer` methods are called: they are shadowed by properties of
 * its own until the function that is returned is called. Of `structuredClone` and `postMessage` nobody is told.
 */
export function watchTransfers(buffer: ArrayBuffer, moved: (to: ArrayBuffer) => void): () => void {
  if (!Object.isExtensible(buffer)) return () => {}
  const unwatch = () => {
    for (const name of names) Reflect.deleteProperty(buffer, name)
  }
  for (const name of names) {
    const original = prototype[name]
    // Node 20 has neither.
    if (typeof original !== 'function') continue
    const value = (length: unknown = buffer.byteLength) => {
      // Its pages would be cut off or moved under the export.
      if (length !== buffer.byteLength) throw problem('vmemTransfer', { bytes: buffer.byteLength })
      const to = original.call(buffer, length) as ArrayBuffer
      unwatch()
      moved(to)
      return to
    }
    Reflect.defineProperty(buffer, name, { value, configurable: true })
  }
  return unwatch
}
