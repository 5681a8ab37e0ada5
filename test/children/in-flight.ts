import assert from 'node:assert/strict'
import { Channel, DmaBufError, SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { PacketType, writeHeader } from '../../src/transport/packet.ts'

/**
 * Run by a user without privileges under a small limit of descriptors: a peer that does not read uses up what this
 * user may have under way. Prints a line for each thing that is as it should be.
 */
const heap = new SystemHeap()
const done = (what: string) => process.stdout.write(`${what}\n`)

async function codeOf(act: () => Promise<unknown>): Promise<string> {
  try {
    await act()
    return 'done'
  } catch (error) {
    if (error instanceof DmaBufError) return error.code
    throw error
  }
}

const [deaf, end] = Channel.pair()
const silent = end.detach()
// Says hello as a full peer, and reads nothing.
const { tx } = addon().scratch
writeHeader(new DataView(tx.buffer, tx.byteOffset), { type: PacketType.hello, argument: 1 })
addon().send(silent, 32, 0, true)
await deaf.ready

const [a, other] = Channel.pair()
const b = other.open()
using buffer = heap.allocateSync(4096)
await a.send('warm', [buffer])
for (const each of (await b.receive()).buffers) each.close()

let sent = 0
let code = 'done'
while (code === 'done' && sent < 1000) {
  code = await codeOf(() => deaf.send(sent, [buffer]))
  if (code === 'done') sent++
}
assert.equal(code, 'ETOOMANYREFS')
assert.ok(sent > 10)
done('the limit is an error of the send')

assert.equal(await codeOf(() => a.send('blocked', [buffer])), 'ETOOMANYREFS')
using fresh = heap.allocateSync(4096)
assert.equal(await codeOf(() => a.send('blocked', [fresh])), 'ETOOMANYREFS')
await a.send('no buffer')
assert.equal((await b.receive()).message, 'no buffer')
done('messages without buffers pass, on this channel and others')

// Refused many times: nothing of it counts as under way.
for (let round = 0; round < 500; round++)
  assert.equal(await codeOf(() => a.send('blocked', [buffer])), 'ETOOMANYREFS')

addon().close(silent)
assert.equal((await deaf.closed).reason, 'peer-died')
while ((await codeOf(() => a.send('again', [buffer, fresh]))) !== 'done') await new Promise(setImmediate)
const { message, buffers } = await b.receive()
assert.equal(message, 'again')
assert.equal(buffers.length, 2)
for (const each of buffers) each.close()
done('when the deaf peer is gone, all goes on')
await Promise.all([a.close(), b.close(), deaf.close()])
