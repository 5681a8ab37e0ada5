// Passes memory through the bare addon, all in one process: for runtimes and emulators where the library itself
// cannot run. `node raw.mjs path/to/dmabuf.node`; watching the event loop is left out on Bun, which has no
// uv_poll_init and panics.
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const addon = createRequire(import.meta.url)(resolve(process.argv[2]))
const { scratch } = addon
const BYTES = 1 << 16
const SEALS = 1 | 2 | 4
const SHARED = 0

const memory = good(addon.memfdCreate('raw', 0))
good(addon.allocate(memory, BYTES))
good(addon.addSeals(memory, SEALS))
const mine = good(addon.map(memory, 0, BYTES, SHARED))
new Uint8Array(good(mine.view())).fill(42)

good(addon.socketPair())
const [near, far] = scratch.descriptors
scratch.tx.set([1, 2, 3])
scratch.outgoing[0] = memory
equal(addon.send(near, 3, 1, false), 3, 'bytes sent')
if (process.versions.bun === undefined) await readable(far)
equal(addon.receive(far), 3, 'bytes received')
equal(scratch.meta[0], 1, 'descriptors received')
equal(scratch.rx[2], 3, 'third byte')

const received = scratch.incoming[0]
equal(addon.sameFile(memory, received), 1, 'same file')
equal(addon.getSeals(received) & SEALS, SEALS, 'seals')
const theirs = good(addon.map(received, 0, BYTES, SHARED))
const bytes = new Uint8Array(good(theirs.view()))
equal(bytes[BYTES - 1], 42, 'last byte')
bytes[0] = 7
equal(new Uint8Array(good(mine.view()))[0], 7, 'byte written on the other side')

for (const mapping of [mine, theirs]) mapping.close()
equal(bytes.byteLength, 0, 'length of a view after close')
for (const fd of [memory, received, near, far]) good(addon.close(fd))
console.log(`ok: ${BYTES} bytes through the bare addon on ${process.arch}`)

function readable(fd) {
  return new Promise((done) => {
    const poll = new addon.Poll(fd, (events) => {
      poll.close()
      done(events)
    })
    good(poll.start(1))
  })
}

function good(result) {
  if (typeof result === 'number' && result < 0) throw new Error(`errno ${-result}`)
  return result
}

function equal(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: expected ${expected} but found ${found}`)
}
