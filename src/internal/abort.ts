import { problem } from './errors.ts'

/** Throws when the signal has fired already. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw aborted(signal, what)
}

export function aborted(signal: AbortSignal, what: string) {
  return problem('aborted', { what }, { cause: signal.reason })
}

/**
 * A promise whose settling is in the hands of `start`, with an AbortSignal that rejects it. `start` returns what
 * takes the waiter out again when it is aborted.
 */
export function abortable<T>(
  signal: AbortSignal | undefined,
  what: string,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
): Promise<T> {
  if (signal === undefined) {
    return new Promise<T>((resolve, reject) => {
      start(resolve, reject)
    })
  }
  if (signal.aborted) return Promise.reject(aborted(signal, what))
  return new Promise<T>((resolve, reject) => {
    let settled = false
    const settle = <V>(how: (value: V) => void) => {
      return (value: V) => {
        settled = true
        signal.removeEventListener('abort', stop)
        how(value)
      }
    }
    let withdraw = () => {}
    const stop = () => {
      withdraw()
      reject(aborted(signal, what))
    }
    withdraw = start(settle(resolve), settle(reject))
    if (!settled) signal.addEventListener('abort', stop, { once: true })
  })
}
