/** What waits: more than this is done at once, for a thread that never comes to its microtasks. */
const MOST = 64

const tasks: (() => void)[] = []
const settled = Promise.resolve()

/**
 * Does it once those have gone on who are being woken now, in the same turn of the event loop: closing what nobody needs any
 * more would cost them as much time as waking them. The task must not throw.
 */
export function afterwards(task: () => void): void {
  if (tasks.push(task) === 1) settled.then(behindWaiters)
  if (tasks.length >= MOST) doAll()
}

/** A waiter goes on one microtask after it is told, which may be after this one. */
function behindWaiters(): void {
  settled.then(doAll)
}

function doAll(): void {
  for (const task of tasks.splice(0)) task()
}
