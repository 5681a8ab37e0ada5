/** What waits: more than this is done at once, for a thread that never comes to the end of its turn. */
const MOST = 64

const tasks: (() => void)[] = []
const settled = Promise.resolve()

/**
 * Does it once those have gone on who are being woken now: closing what nobody needs any more would cost them as much time as
 * waking them. A tick that is asked for by a microtask comes when all microtasks are through. The task must not throw.
 */
export function afterwards(task: () => void): void {
  if (tasks.push(task) === 1) settled.then(soon)
  if (tasks.length >= MOST) doAll()
}

function soon(): void {
  process.nextTick(doAll)
}

function doAll(): void {
  for (const task of tasks.splice(0)) task()
}
