import type { ExporterOps } from './exporter-ops.ts'

/** Tells an exporter of what is over, whatever it says to that: its error is an uncaught one, and the caller goes on. */
export function tellExporter(ops: ExporterOps | undefined, say: (ops: ExporterOps) => void): void {
  if (ops === undefined) return
  try {
    say(ops)
  } catch (error) {
    // A stranger's code, and closing must come to its end.
    queueMicrotask(() => {
      throw error
    })
  }
}
