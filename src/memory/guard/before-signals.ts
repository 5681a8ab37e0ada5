import { isMainThread } from 'node:worker_threads'

/** Signals by which a program is ended from outside, and which end it unless it listens to them. */
const ending: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGINT', 'SIGTERM']

let last = () => {}
let listening = false

/** In the place of the kernel's default: the last word, then the same end. */
function die(signal: NodeJS.Signals): void {
  last()
  process.off(signal, die)
  process.kill(process.pid, signal)
}

function stepBack(signal: NodeJS.Signals): void {
  if (process.listeners(signal).some((listener) => listener !== die)) process.off(signal, die)
}

const isEnding = (event: string | symbol): event is NodeJS.Signals => ending.includes(event as NodeJS.Signals)

/**
 * Lets `tell` run before one of these signals ends the process, which no 'exit' event would say. Only where the program
 * itself does not listen to the signal: as soon as it does, and for as long, it finds nobody else there and decides alone.
 */
export function beforeSignals(tell: () => void): void {
  last = tell
  // Other threads get no signals.
  if (listening || !isMainThread) return
  listening = true
  for (const signal of ending) if (process.listenerCount(signal) === 0) process.on(signal, die)
  process.on('newListener', (event, listener) => {
    // Once it is there: without any listener in between, Node would give the signal up.
    if (isEnding(event) && listener !== die) queueMicrotask(() => stepBack(event))
  })
  process.on('removeListener', (event, listener) => {
    if (isEnding(event) && listener !== die && process.listenerCount(event) === 0) process.on(event, die)
  })
}
