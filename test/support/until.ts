/** A guard against hanging, not a measure of speed. */
const DEADLINE = 30_000

/**
 * Waits until `condition` gives something truthy, asking again in each turn of the event loop, and returns it. Fails
 * with `what` after half a minute. A condition that throws is asked again too; its last error becomes the cause.
 */
export async function until<T>(condition: () => T | Promise<T>, what: string): Promise<NonNullable<T>> {
  const deadline = performance.now() + DEADLINE
  let turns = 0
  let cause: unknown
  for (;;) {
    try {
      const result = await condition()
      if (result) return result
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`, { cause })
    // The first turns at once; then with a breath, which leaves the processor to whom we wait for.
    await (++turns < 50 ? new Promise(setImmediate) : new Promise((resolve) => setTimeout(resolve, 5)))
  }
}

/** Waits as {@link until}, and collects garbage before each question. */
export function untilCollected<T>(condition: () => T | Promise<T>, what: string): Promise<NonNullable<T>> {
  return until(() => {
    collect()
    return condition()
  }, what)
}

/** A full collection; finalizers run in the next turns. */
export function collect(): void {
  if (globalThis.gc === undefined) throw new Error('tests need --expose-gc')
  globalThis.gc()
}
