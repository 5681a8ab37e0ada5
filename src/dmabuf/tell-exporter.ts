import { runStranger } from '../internal/stranger.ts'
import type { ExporterOps } from './exporter-ops.ts'

/** Tells an exporter of what is over, whatever it says to that. */
export function tellExporter(ops: ExporterOps | undefined, say: (ops: ExporterOps) => void): void {
  if (ops !== undefined) runStranger(() => say(ops))
}
