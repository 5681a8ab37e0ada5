/**
 * Runs code that is not the library's (a callback, an exporter's op) where the caller must come to its end whatever that
 * does: what it throws is an uncaught error of its own.
 */
export function runStranger(act: () => void): void {
  try {
    act()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
