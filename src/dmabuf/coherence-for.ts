import { allowsExternal } from '../memory/external.ts'
import type { Coherence, Coherency } from './coherence.ts'
import { NonCoherent } from './non-coherent.ts'
import { Staging } from './staging.ts'

type CoherenceBuffer = ConstructorParameters<typeof NonCoherent>[0] & ConstructorParameters<typeof Staging>[0]

/** What stands between the views and the storage of a buffer, if anything. */
export function coherenceFor(buffer: CoherenceBuffer, coherency: Coherency): Coherence | undefined {
  if (coherency === 'non-coherent') return new NonCoherent(buffer)
  if (coherency === 'strict' || !allowsExternal()) return new Staging(buffer, coherency)
  return undefined
}
