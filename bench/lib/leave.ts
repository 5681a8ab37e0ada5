/**
 * Makes this process end by `exit` when it is interrupted or its parent is gone, and not by a signal: only
 * then do exit handlers run, and without shm-typed-array's a segment would outlive the benchmark.
 */
export function leaveCleanly(): void {
  process.once('disconnect', () => process.exit())
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
}
