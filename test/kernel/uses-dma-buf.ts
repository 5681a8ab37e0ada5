/** Runs with a real dma-buf as descriptor 3: brackets it, passes it through a channel, reads it there. */
import { strict as assert } from 'node:assert'
import { bufinfo, Channel, DmaBuf } from '../../src/index.ts'

const buffer = DmaBuf.fromFd(3, { name: 'real' })
assert.equal(buffer.exporterName, 'system')
assert.equal(buffer.byteLength, 65_536)
assert.throws(() => buffer.freeze(), { code: 'EPERM' })

await buffer.withCpuAccess('write', (cpu) => cpu.bytes.fill(7))
const sync = buffer.beginCpuAccessSync('read')
assert.equal(sync.bytes[65_535], 7)
sync.end()

const [mine, end] = Channel.pair()
const theirs = end.open()
await mine.send({ n: 1 }, [buffer])
const { buffers } = await theirs.receive()
assert.ok(buffers[0]?.same(buffer))
buffers[0]?.close()

const range = buffer.mmap({ offset: 4096, length: 10 })
assert.deepEqual([...range.bytes], Array(10).fill(7))
range.close()

// A bracket that is open when its buffer is closed is ended for the kernel, too.
buffer.beginCpuAccessSync('read-write')
buffer.close()
await Promise.all([mine.close(), theirs.close()])
assert.deepEqual(bufinfo(), [])
console.log('a real dma-buf works')
